"""Labels as doit tasks, for doit's own commands: list, info, clean and run work on them as they stand."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.errors import MegbuildError

if TYPE_CHECKING:
    from megbuild.declare.models import Workspace
    from megbuild.graph.resolve import Target


def label_tasks() -> Iterator[dict[str, Any]]:
    """A task for every output of every model of the workspace: ``//package`` is the group, ``model@output`` the subtask.

    Use it in a dodo.py::

        from megbuild.cli.tasks import label_tasks

        def task_models():
            yield from label_tasks()
    """
    try:
        yield from declared_tasks()
    except MegbuildError as error:  # said, and no reason why the other tasks of a dodo.py should not run
        print(error, file=sys.stderr)


def declared_tasks() -> Iterator[dict[str, Any]]:
    """The same; raises MegbuildError where the workspace cannot be read."""
    workspace, targets = _targets()
    for target in targets:
        model, output = target.model, target.output
        folder = Path(workspace.root, "out", model.package, model.name, output.name)
        files = target.road[-1].rule.rule.files if target.road else (f".{target.form}",)
        yield {
            "basename": f"//{model.package}",
            "name": f"{model.name}@{output.name}",
            "doc": f"{target.form} for {target.hardware.name}: {' -> '.join(step.rule.rule.produces for step in target.road)}",
            "actions": [(_make, [target.label])],
            "targets": [str(folder / f"{model.name}{suffix}") for suffix in files] + [str(folder / "record.json")],
            "uptodate": [(_is_up_to_date, [target.label])],
            "clean": True,
            "verbosity": 2,
        }


def _targets() -> tuple[Workspace, Sequence[Target]]:
    from megbuild.declare.load import load
    from megbuild.graph.resolve import resolve

    workspace = load(Path.cwd())
    everything = [(model, output) for model in workspace.models for output in model.outputs]
    return workspace, resolve(workspace, everything)


def _make(label: str) -> bool:
    """``doit run LABEL``: the same build, of one label."""
    from megbuild.cli.build import build_labels

    return build_labels([label]) == 0


def _is_up_to_date(label: str) -> bool:
    from megbuild.pipeline import Asked, prepare

    return not any(prepare(Asked((label,), Path.cwd()), lambda text: None).stale())
