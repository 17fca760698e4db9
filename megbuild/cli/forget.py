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
    from megbuild.pipeline import Asked, forget

    for aim in forget(Asked(tuple(labels), Path.cwd()), print).graph.aims:
        print(f"forgetting {aim.label}")
    return 0
