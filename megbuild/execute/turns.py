"""Turns: which of the actions that could run now may, so that together they take no more than the machine has."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
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
    """Room for actions that compute, one for each core. Beside them one more may be prepared, and those that have ended put away."""

    def __init__(self, cores: int) -> None:
        self._free = threading.Semaphore(cores)
        self._mine = threading.local()

    def take(self) -> None:
        """Wait until an action of this thread may begin."""
        self._free.acquire()
        self._mine.taken = True

    def leave(self) -> None:
        """It computes no more; nothing to do where this has been said before."""
        if getattr(self._mine, "taken", False):
            self._mine.taken = False
            self._free.release()


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
