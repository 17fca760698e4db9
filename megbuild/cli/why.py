"""``doit why LABEL``: why an output is stale, or why it was last made, action by action along its road.

``doit why --unread LABEL``: which declared inputs are never read, and make it stale for nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command
from megbuild.errors import fail

if TYPE_CHECKING:
    from megbuild.errors import Problem
    from megbuild.graph.plan import Planned
    from megbuild.pipeline import Prepared
    from megbuild.pipeline.prepared import Slice
    from megbuild.store.state import Told

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
    from megbuild.pipeline import Asked, prepare

    if not labels:
        raise fail("MB401", "doit why needs a label", "doit why //package:model@output")
    prepared = prepare(Asked(tuple(labels), Path.cwd()), lambda text: print(text, file=sys.stderr))
    for slice in prepared.slices:
        todo, told = slice.stale, prepared.memory.state.told
        for aim in slice.graph.aims:
            print(aim.label)
            for action in slice.graph.closure(aim.label):
                _tell(action.id, todo.get(action.id), told.get(action.id))
        if len(prepared.slices) > 1:
            prepared.memory.put_away()
    return 0


def _tell(id: str, step: Planned | None, told: Told | None) -> None:
    """One action: why it is stale, or what was done with it last time, and why."""
    reasons: tuple[object, ...] = ()
    if step:
        print(f"  {id}: {'may have to run' if step.waits else 'stale'}")
        reasons = step.decision.reasons
    elif told:
        print(f"  {id}: up to date; last time: {told.verb}")
        reasons = told.reasons
    else:
        print(f"  {id}: up to date")
    for reason in reasons:
        print(f"      {reason}")


def _unread(labels: list[str]) -> int:
    from megbuild.pipeline import Asked, prepare

    prepared = prepare(Asked(tuple(labels), Path.cwd()), lambda text: print(text, file=sys.stderr))
    models = told = 0
    for slice in prepared.slices:
        for problems in _unread_in(slice, prepared):
            print(*problems, sep="\n", end="\n" if problems else "")
            models, told = models + 1, told + len(problems)
        if len(prepared.slices) > 1:
            prepared.memory.put_away()
    if not told:
        print(f"every declared input of {models} model{'s' * (models != 1)} is read")
    return 1 if told else 0


def _unread_in(slice: Slice, prepared: Prepared) -> Iterator[list[Problem]]:
    """What is declared and never read, for each model of a slice."""
    from megbuild.declare.inputs import inputs_of
    from megbuild.graph.unread import unknown_problems, unread

    graph, memory, todo = slice.graph, prepared.memory, slice.stale
    for label, aims in groupby(graph.aims, lambda aim: aim.target.model.label):
        mine = list(aims)
        model = mine[0].target.model
        actions = {action.id: action for aim in mine for action in graph.closure(aim.label)}
        whole = {aim.target.output.name for aim in mine} >= {output.name for output in model.outputs}
        found, unknown = unread(
            model, inputs_of(model, prepared.workspace.root), actions.values(),
            lambda id: None if id in todo else memory.unread(id), whole=whole,
        )  # fmt: skip
        yield [*found, *unknown_problems(unknown, todo, label)]
