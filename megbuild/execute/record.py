"""Record: what a build did is remembered, for the next build and for ``why``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megbuild.execute.builder import Done
from megbuild.execute.memory import Memory
from megbuild.graph.plan import Planned
from megbuild.graph.reasons import Reason, cosmetic
from megbuild.graph.stale import Verb
from megbuild.store.state import Built, Rest, Told


@dataclass(frozen=True)
class UpToDate:
    """What is noted when all that was asked for exists: the line that answers the next build, and how many outputs.

    ``rest`` is what an earlier note said of models that this build did not look at.
    """

    selection: str
    summary: str
    outputs: int
    rest: Rest
    environment: Mapping[str, str | None]
    """The variables that lead to SDKs, as they are."""
    keep: Callable[[Path], str]
    """Keeps the declarations in a file, for builds of a part, and gives its name inside."""


def tell(memory: Memory, planned: Sequence[Planned], done: Mapping[str, Done]) -> None:
    """Take down what ``why`` tells of these actions: what was ``done`` for those that were stale, and why."""
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
    memory.state.told.update(told)


def record(memory: Memory, complete: UpToDate | None, narrowed: str | None = None) -> tuple[str, ...]:
    """Save the state, with what was told of this build; note that the selection is up to date when it is.

    :param complete: what to note when nothing has moved meanwhile; None when something that was asked for is missing.
    :param narrowed: the selection whose note this build went by. When it is not complete, what has moved still shows
        beside that note, and the next build goes by it again.
    :returns: the files that changed while the build ran: what was made of them is stale already.
    """
    memory.state.forget_selections(narrowed)
    memory.save()
    moved = tuple(memory.files.moved())
    if complete and not moved:
        memory.state.remember(
            complete.selection, complete.summary, complete.outputs, memory.files, complete.environment, complete.rest,
            complete.keep,
        )  # fmt: skip
    return moved


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
