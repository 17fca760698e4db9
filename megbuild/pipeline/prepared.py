"""A build up to its plan, in slices: how much of it is in memory does not depend on how many models there are.

No action needs one of another model, so a slice is some models with all of their actions. A large plan waits on the
disk, slice by slice, until its turn to run comes; a small one is one slice, and never leaves the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from megbuild.declare.models import Toolchain, Workspace
from megbuild.errors import Problem
from megbuild.execute.memory import Memory
from megbuild.graph.actions import Action
from megbuild.graph.analyse import Aim, Graph
from megbuild.graph.plan import Planned, stale
from megbuild.graph.resolve import Target
from megbuild.store.noop import Note
from megbuild.store.shelf import Shelf

SLICE = 1000
"""Actions after which a slice ends, with the model that they are of: some MB of memory, and a moment's work."""


class Slice(Struct, frozen=True):
    """Some models of a build: the actions that they need, and what is planned for each."""

    graph: Graph
    planned: tuple[Planned, ...]

    @property
    def stale(self) -> Mapping[str, Planned]:
        """The actions that are not known to be up to date."""
        return stale(self.planned)


class _Packed(Struct, frozen=True, array_like=True):
    """A slice as it waits: without what all slices share."""

    actions: tuple[Action, ...]
    aims: tuple[tuple[str, str], ...]
    """The artifact and the measurement of each."""
    first: int
    """The target of the first aim; the others follow it."""
    planned: tuple[Planned, ...]


class Slices(Sequence[Slice]):
    """The slices of a plan, in the order of declaration; those of a large plan wait on the disk.

    :param targets: what they are made of, in the same order.
    """

    def __init__(self, targets: Sequence[Target], toolchains: Mapping[str, Toolchain], folder: Path) -> None:
        self.toolchains = toolchains
        self._targets = targets
        self._shelf: Shelf[_Packed] = Shelf(folder)
        self._only: Slice | None = None
        self._aims = 0
        self.actions = 0
        """How many actions all of them have."""

    def append(self, slice: Slice) -> None:
        """Add the next one."""
        if self._only:
            self._shelf.put(self._packed(self._only, 0))
            self._only = None
        if self._aims:
            self._shelf.put(self._packed(slice, self._aims))
        else:
            self._only = slice
        self._aims += len(slice.graph.aims)
        self.actions += len(slice.planned)

    def __len__(self) -> int:
        return 1 if self._only else len(self._shelf)

    def __getitem__(self, number: int) -> Slice:  # type: ignore[override]
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._only or self._unpacked(self._shelf.get(number))

    def _packed(self, slice: Slice, first: int) -> _Packed:
        aims = tuple((aim.artifact, aim.measured) for aim in slice.graph.aims)
        return _Packed(tuple(slice.graph.actions.values()), aims, first, slice.planned)

    def _unpacked(self, packed: _Packed) -> Slice:
        actions = {action.id: action for action in packed.actions}
        aims = tuple(Aim(self._targets[packed.first + at], *ends) for at, ends in enumerate(packed.aims))
        return Slice(Graph(actions, aims, self.toolchains), packed.planned)


@dataclass(frozen=True)
class Prepared:
    """A build up to its plan: nothing has run yet."""

    workspace: Workspace
    targets: Sequence[Target]
    slices: Slices
    memory: Memory
    toolchains: Mapping[str, Toolchain]
    """Those that actions run in, by name."""
    first: tuple[Action, ...]
    """For each toolchain that stale actions run in, the first of them, in the order of the plan."""
    note: Note | None = None
    """The note that the other outputs which were asked for are up to date by; None when there are no others."""
    left_out: tuple[Problem, ...] = ()
    """The SDKs that are missing, with the outputs that are left out for that."""

    @cached_property
    def graph(self) -> Graph:
        """All slices as one graph, for who looks at single labels or needs all of it at once."""
        parts = [slice.graph for slice in self.slices]
        if len(parts) == 1:
            return parts[0]
        actions = {id: action for part in parts for id, action in part.actions.items()}
        return Graph(actions, tuple(aim for part in parts for aim in part.aims), parts[0].toolchains)

    @cached_property
    def planned(self) -> tuple[Planned, ...]:
        """What is planned for each action, of all slices."""
        return tuple(step for slice in self.slices for step in slice.planned)

    @property
    def others(self) -> int:
        """How many outputs that were asked for are known to be up to date without a look at them."""
        return self.note.outputs - len(self.targets) if self.note else 0

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return Path(self.workspace.root)

    def stale(self) -> Iterator[Planned]:
        """The actions that are not known to be up to date, slice after slice."""
        for slice in self.slices:
            yield from slice.stale.values()
