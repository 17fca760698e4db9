"""From the plan to the report: slice after slice is executed, recorded, and let go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from megbuild.execute import local
from megbuild.execute.builder import Builder, Done, Listener
from megbuild.execute.delivered import delivered
from megbuild.execute.failure import ActionFailed
from megbuild.execute.publish import Publisher
from megbuild.execute.record import UpToDate, record, tell
from megbuild.execute.report import Rows, rows
from megbuild.execute.withdraw import withdraw
from megbuild.graph.actions import Action
from megbuild.graph.plan import Planned
from megbuild.graph.stale import Verb
from megbuild.pipeline.asked import Asked, patterns
from megbuild.pipeline.kept import keep
from megbuild.pipeline.prepared import Prepared, Slice
from megbuild.store.places import cache_folder, private_folder
from megbuild.store.state import NO_REST, Rest
from megbuild.verify.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Work:
    """A slice whose turn has come: its stale actions are to be made sure of, each after those that it needs.

    Who runs them notes in ``failed`` what gave no result, and says when the slice is ``over``.
    """

    number: int
    slice: Slice
    builder: Builder
    _over: Callable[[Work], None]
    failed: dict[str, ActionFailed] = field(default_factory=dict)

    @property
    def actions(self) -> Mapping[str, Action]:
        """All actions of the slice, each after those that it needs."""
        return self.slice.graph.actions

    @property
    def stale(self) -> Mapping[str, Planned]:
        """Those that are not known to be up to date."""
        return self.slice.stale

    def over(self) -> None:
        """Nothing of it runs any more: what was done is recorded, and it leaves the memory."""
        self._over(self)


class Execution:
    """One build from its plan on. Its methods are for one thread; what they hand out, a builder, is for many."""

    def __init__(self, prepared: Prepared, listener: Listener, *, require_sandbox: bool = False) -> None:
        self.prepared = prepared
        self.rows = Rows(private_folder(prepared.root))
        self.failed: dict[str, ActionFailed] = {}
        self.complete = not prepared.left_out
        """Whether everything that was asked for stands, and a note may say so."""
        self._listener = listener
        self._runner = runner(prepared, prepared.first, listener.note, require_sandbox)
        self._slices = enumerate(prepared.slices)
        self._begun: dict[int, Work] = {}

    def work(self) -> Iterator[Work]:
        """The slices as work, one after the other; the next one may be taken before the last one is over."""
        for number, slice in self._slices:
            self._begun[number] = Work(number, slice, self._builder(slice), self._record)
            yield self._begun[number]

    def stop(self) -> None:
        """End what still runs, and all that was kept ready for more."""
        self._runner.stop()

    def end(self, asked: Asked) -> tuple[str, ...]:
        """Record what is left over when the work has ended, early or not, and what holds for the build as a whole.

        :returns: the files that changed while it ran.
        """
        for work in [*self._begun.values(), *self.work()]:  # the latter were never begun
            work.over()
        _withdraw(asked, self.prepared, self._listener.note)
        upshot = _upshot(asked, self.prepared) if self.complete else None
        return record(self.prepared.memory, upshot, asked.selection if self.prepared.note else None)

    def _builder(self, slice: Slice) -> Builder:
        memory = self.prepared.memory
        publisher = Publisher({aim.label: aim for aim in slice.graph.aims if aim.target.declared}, memory)
        core = {"verdict": verdict, "delivered": delivered}  # the steps that the core computes itself
        return Builder(slice.graph, memory, self._runner, core, publisher, self._listener)

    def _record(self, work: Work) -> None:
        graph, planned, memory = work.slice.graph, work.slice.planned, self.prepared.memory
        made = work.builder.done
        kept = (step.id for step in planned if step.decision.verb is Verb.KEEP)
        done = {id: Done(graph.actions[id], Verb.KEEP, (), memory.last_outputs(id), 0.0) for id in kept} | made
        tell(memory, planned, made)
        self.rows.put(work.number, rows(graph, done, work.failed, memory))
        self.failed |= work.failed
        self.complete = self.complete and not work.builder.remade and all(aim.label in done for aim in graph.aims)
        # a note can hold nothing of a key, so none can vouch for results that depend on one
        self.complete = self.complete and not any(action.secrets for action in graph.actions.values())
        self._begun.pop(work.number, None)
        if len(self.prepared.slices) > 1:
            memory.put_away()


def runner(
    prepared: Prepared, expected: Sequence[Action], say: Callable[[str], None], require_sandbox: bool = False
) -> local.Local:
    """What runs the actions of a build. ``expected`` are actions that will run: it gets ready for the like of them."""
    return local.Local(
        prepared.root, private_folder(prepared.root), cache_folder(), prepared.memory.content, prepared.slices.toolchains,
        say, require_sandbox, expected,
    )  # fmt: skip


def _withdraw(asked: Asked, prepared: Prepared, say: Callable[[str], None]) -> None:
    """Outputs that were asked for and are not declared any more go; a narrowed build follows no change of declarations."""
    if prepared.note:
        return
    withdraw(prepared.memory, prepared.workspace.models, patterns(prepared.workspace, asked), say)


def _upshot(asked: Asked, prepared: Prepared) -> UpToDate:
    outputs = len(prepared.targets) + prepared.others
    models = {target.model.label for target in prepared.targets} if prepared.note else set()
    rest = Rest.of(prepared.note, models) if prepared.note else NO_REST
    used = [sdk for toolchain in prepared.toolchains.values() for sdk in toolchain.sdks]
    variables = {name: os.environ.get(name) for sdk in used for name in sdk.variables}
    variables = {**prepared.note.environment, **variables} if prepared.note else variables
    said = f"everything is up to date: {outputs} outputs, nothing to run"
    return UpToDate(asked.selection, said, outputs, rest, variables, partial(_keep, asked, prepared))


def _keep(asked: Asked, prepared: Prepared, path: Path) -> str:
    """Keep the declarations for builds of a part; those that this build went by, if any, hold still."""
    if prepared.note:
        return prepared.note.kept()
    return "" if asked.variables else keep(prepared.workspace, path)
