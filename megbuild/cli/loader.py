"""The loader plug-in: a workspace without a dodo.py, where ``[tool.doit] loader = "megbuild"``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from doit.cmd_base import NamespaceTaskLoader
from doit.exceptions import InvalidDodoFile

from megbuild.cli.tasks import declared_tasks
from megbuild.errors import MegbuildError


class Loader(NamespaceTaskLoader):  # type: ignore[misc]
    """Loads the labels of the workspace as tasks, and nothing else."""

    def setup(self, opt_values: Any) -> None:
        """Called by doit before the tasks are loaded."""
        self.namespace = {"task_models": _models, "DOIT_CONFIG": {"verbosity": 2}}


def _models() -> Iterator[dict[str, Any]]:
    """every output of every model, by its label"""
    try:
        yield from declared_tasks()
    except MegbuildError as error:
        raise InvalidDodoFile(str(error)) from None
