"""``doit why LABEL``: why an output is stale, or why it was last made, action by action along its road."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from megbuild.cli.command import Command
from megbuild.errors import fail


class Why(Command):
    """The command plug-in; it reads what the build recorded and what the plan says now."""

    name = "why"
    doc_purpose = "explain why outputs are stale, or were last made"
    doc_usage = "LABEL [LABEL ...]"
    doc_description = None

    def execute(self, params: dict[str, Any], labels: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _why(labels))


def _why(labels: list[str]) -> int:
    from megbuild.graph.plan import stale
    from megbuild.pipeline import Asked, prepare

    if not labels:
        raise fail("MB401", "doit why needs a label", "doit why //package:model@output")
    prepared = prepare(Asked(tuple(labels), Path.cwd()), lambda text: print(text, file=sys.stderr))
    todo, told = stale(prepared.planned), prepared.memory.state.told
    for aim in prepared.graph.aims:
        print(aim.label)
        for action in prepared.graph.closure(aim.label):
            if action.id in todo:
                step = todo[action.id]
                print(f"  {action.id}: {'may have to run' if step.waits else 'stale'}")
                reasons = tuple(map(str, step.decision.reasons))
            elif action.id in told:
                print(f"  {action.id}: up to date; last time: {told[action.id].verb}")
                reasons = told[action.id].reasons
            else:
                print(f"  {action.id}: up to date")
                reasons = ()
            for reason in reasons:
                print(f"      {reason}")
    return 0
