"""``doit forget LABEL``: forget what was built, so that the next build makes it again; other tasks as doit does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doit.cmd_forget import Forget as DoitForget


class Forget(DoitForget):  # type: ignore[misc]
    """doit's own command, which knows labels as well."""

    name = "forget"
    doc_usage = "[TASK | LABEL ...]"

    def execute(self, params: Any, names: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        labels = [name for name in names if name.startswith(("//", ":"))]
        others = [name for name in names if name not in labels]
        if labels and (status := guarded(lambda: _forget(labels))):
            return status
        return int(super().execute(params, others) or 0) if others or not labels else 0


def _forget(labels: list[str]) -> int:
    from megbuild.declare.workspace import find
    from megbuild.pipeline import Asked, prepare
    from megbuild.store.lock import acquire
    from megbuild.store.places import private_folder

    with acquire(private_folder(Path(find(Path.cwd()))), print):
        prepared = prepare(Asked(tuple(labels), Path.cwd()), print)
        for aim in prepared.graph.aims:
            for action in prepared.graph.closure(aim.label):
                prepared.memory.forget(action.id)
            print(f"forgetting {aim.label}")
        prepared.memory.state.forget_selections()
        prepared.memory.state.save()
    return 0
