"""``doit why LABEL``: why an output is stale, or why it was last made, action by action along its road.

``doit why --unread LABEL``: which declared inputs are never read, and make it stale for nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from megbuild.cli.command import Command
from megbuild.errors import fail

UNREAD = {
    "name": "unread",
    "short": "",
    "long": "unread",
    "type": bool,
    "default": False,
    "help": "tell instead which declared inputs no action of the models has read; exit status 1 when there are some",
}


class Why(Command):
    """The command plug-in; it reads what the build recorded and what the plan says now."""

    name = "why"
    doc_purpose = "explain why outputs are stale, or were last made"
    doc_usage = "[--unread] LABEL [LABEL ...]"
    doc_description = None
    cmd_options = (UNREAD,)

    def execute(self, params: dict[str, Any], labels: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: (_unread if params["unread"] else _why)(labels))


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


def _unread(labels: list[str]) -> int:
    from megbuild.declare.inputs import inputs_of
    from megbuild.graph.plan import stale
    from megbuild.graph.unread import unknown_problems, unread
    from megbuild.pipeline import Asked, prepare

    prepared = prepare(Asked(tuple(labels), Path.cwd()), lambda text: print(text, file=sys.stderr))
    graph, memory, todo = prepared.graph, prepared.memory, stale(prepared.planned)
    models = {aim.target.model.label: aim.target.model for aim in graph.aims}
    told = 0
    for label, model in models.items():
        aims = [aim for aim in graph.aims if aim.target.model.label == label]
        actions = {action.id: action for aim in aims for action in graph.closure(aim.label)}
        whole = {aim.target.output.name for aim in aims} >= {output.name for output in model.outputs}
        found, unknown = unread(
            model, inputs_of(model, prepared.workspace.root), actions.values(),
            lambda id: None if id in todo else memory.unread(id), whole=whole,
        )  # fmt: skip
        problems = [*found, *unknown_problems(unknown, todo, label)]
        print(*problems, sep="\n", end="\n" if problems else "")
        told += len(problems)
    if not told:
        print(f"every declared input of {len(models)} model{'s' * (len(models) != 1)} is read")
    return 1 if told else 0
