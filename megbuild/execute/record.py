"""Record: what a build did is remembered, for the next build and for ``why``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megbuild.execute.builder import Done
from megbuild.execute.memory import Memory
from megbuild.graph.plan import Planned
from megbuild.graph.reasons import Reason, cosmetic
from megbuild.graph.stale import Verb
from megbuild.store.durable import place
from megbuild.store.places import private_folder
from megbuild.store.state import Built

HISTORY = "history.json"
"""Per action, what the last build that did something for it did, and why."""


@dataclass(frozen=True)
class Told:
    """What is remembered of one action for ``why``: what was done, and the reasons as the user read them."""

    verb: str
    reasons: tuple[str, ...]


def record(
    memory: Memory, planned: Sequence[Planned], done: Mapping[str, Done], complete: bool, selection: str, summary: str
) -> tuple[str, ...]:
    """Save the state and the history; note that the selection is up to date when it is.

    :param complete: whether everything that was asked for exists now.
    :param summary: the line that answers the next build when nothing has changed.
    :returns: the files that changed while the build ran: what was made of them is stale already.
    """
    told = {
        id: Told(step.verb.value, tuple(map(str, step.reasons)))
        for id, step in done.items()
        if step.verb is not Verb.KEEP
    }
    for step in planned:
        if step.decision.verb is Verb.KEEP and step.now and (seen := _cosmetic(memory, step)):
            told[step.id] = Told(Verb.KEEP.value, tuple(map(str, seen)))
    waited = {step.id for step in planned if step.waits and step.id in done and done[step.id].verb is Verb.KEEP}
    told |= {id: Told(Verb.KEEP.value, ("its inputs came out as they were",)) for id in waited}
    _save_history(memory.root, told)
    memory.state.forget_selections()
    memory.state.save()
    moved = tuple(memory.files.moved())
    if complete and not moved:
        memory.state.remember(selection, summary, memory.files, {})
    return moved


def history(root: Path) -> dict[str, Told]:
    """What is remembered of every action; nothing where there is no history to be read."""
    try:
        stored: dict[str, Any] = json.loads((private_folder(root) / HISTORY).read_text())
        return {id: Told(entry["verb"], tuple(entry["reasons"])) for id, entry in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _save_history(root: Path, told: Mapping[str, Told]) -> None:
    if not told:
        return
    merged = {**history(root), **told}
    text = json.dumps(
        {id: {"verb": entry.verb, "reasons": list(entry.reasons)} for id, entry in merged.items()},
        indent=1,
        sort_keys=True,
    )
    place(private_folder(root) / HISTORY, text.encode())


def _cosmetic(memory: Memory, step: Planned) -> tuple[Reason, ...]:
    """Files that look different and mean the same; what they look like now is remembered in their place."""
    last = memory.last(step.id)
    if last is None or step.now is None:
        return ()
    seen = cosmetic(last.components, step.now.components)
    if seen:
        built = memory.state.built[step.id]
        memory.state.built[step.id] = Built(built.key, dict(step.now.components), built.outputs)
    return seen
