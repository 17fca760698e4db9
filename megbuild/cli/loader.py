"""The loader plug-in: a workspace without a dodo.py, where ``[tool.doit] loader = "megbuild"``."""

from __future__ import annotations

from typing import Any

from doit.cmd_base import NamespaceTaskLoader

from megbuild.cli.tasks import label_tasks


class Loader(NamespaceTaskLoader):  # type: ignore[misc]
    """Loads the labels of the workspace as tasks, and nothing else."""

    def setup(self, opt_values: Any) -> None:
        """Called by doit before the tasks are loaded."""
        self.namespace = {"task_models": label_tasks, "DOIT_CONFIG": {"verbosity": 2}}
