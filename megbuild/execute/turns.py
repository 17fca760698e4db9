"""Turns: which of the actions that could run now may, so that together they take no more than the machine has."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path

from megbuild.graph.actions import Action
from megbuild.graph.costs import Cost

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What the actions of a build may use together: cores (each takes one), and memory in bytes."""

    cores: int
    memory: int

    @classmethod
    def here(cls, cores: int = 0, memory: int = 0) -> Machine:
        """This machine, or that part of it; nought means all that is free."""
        return cls(cores or len(os.sched_getaffinity(0)), memory or free_memory())


@dataclass
class Turns:
    """Says which ready action runs next: the most urgent one for which the machine has room.

    ``costs`` and ``urgency`` (seconds to the end of the build) are by action. An action that needs more memory than
    there is runs alone. One that uses a named device waits until no other uses it.
    """

    machine: Machine
    costs: dict[str, Cost] = field(default_factory=dict)
    urgency: dict[str, float] = field(default_factory=dict)
    _ready: list[tuple[float, str, Action]] = field(default_factory=list)
    _running: dict[str, Action] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many actions are ready and have not had their turn."""
        return len(self._ready)

    def expect(self, costs: Mapping[str, Cost], urgency: Mapping[str, float]) -> None:
        """More actions will come."""
        self.costs |= costs
        self.urgency |= urgency

    def ready(self, action: Action) -> None:
        """The results that an action needs exist: it waits for its turn."""
        heappush(self._ready, (-self.urgency[action.id], action.id, action))

    def next(self) -> Action | None:
        """The action that begins now; None as long as something has to end before."""
        passed_over = []
        chosen = None
        while self._ready and chosen is None:
            entry = heappop(self._ready)
            if self._fits(entry[2]):
                chosen = entry[2]
                self._running[chosen.id] = chosen
            else:
                passed_over.append(entry)
        for entry in passed_over:
            heappush(self._ready, entry)
        return chosen

    def over(self, action: Action) -> None:
        """An action has ended: what it used is free."""
        del self._running[action.id]
        self.costs.pop(action.id, None)
        self.urgency.pop(action.id, None)

    def _fits(self, action: Action) -> bool:
        running = self._running.values()
        if not running:
            return True
        if len(running) >= self.machine.cores:
            return False
        if action.device and any(other.device == action.device for other in running):
            return False
        return sum(self.costs[one.id].memory for one in (*running, action)) <= self.machine.memory


class Places:
    """Room for actions that compute, one for each core. Beside them others are prepared, and put away."""

    def __init__(self, cores: int) -> None:
        self._free = threading.Semaphore(cores)

    @contextmanager
    def one(self) -> Iterator[float]:
        """A place for an action while it computes; gives the seconds that it waited for it."""
        begun = time.monotonic()
        with self._free:
            yield time.monotonic() - begun


ROOM = Places(1 << 20)
"""Room for all that come."""


def free_memory() -> int:
    """Bytes that new processes can have without swapping: of the machine, or of the control group if that has less."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        fields = dict(line.split(":") for line in lines)
    free = int(fields["MemAvailable"].split()[0]) * 1024
    try:
        limit = (_CGROUP / "memory.max").read_text()
        used = int((_CGROUP / "memory.current").read_text())
        return min(free, max(int(limit) - used, 0))
    except (OSError, ValueError):  # no control groups, or no limit ("max")
        return free
