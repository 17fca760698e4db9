"""Whether a zygote still answers: while an action runs it is asked now and then, and one that says nothing for long hangs.

Else a zygote that spins or waits for ever would be noticed by the action's time limit only, which may be days.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from megbuild.execute.stops import state_of

EVERY = 5.0
"""Seconds between one reply and the next question."""
PATIENCE = 30.0
"""Seconds without a reply, which takes less than a millisecond, after which the zygote is taken to hang."""
_LOOKS = 4
"""Looks that have to find it overdue: a machine that slept has not been waiting all that time."""
_SPUN = 1.0
"""Processor seconds that a zygote which spins has used at least meanwhile."""
_HERE = b"?"
"""The question; the reply is the same byte. An action's answer is JSON."""


@dataclass
class Hearing:
    """One action's socket to the zygote, or to the stem, that watches over it.

    ``turn`` is the socket by which the action itself keeps its turn: when it lets go of that, or says anything there,
    ``over`` is called.
    """

    answer: socket.socket
    turn: socket.socket
    over: Callable[[], None]
    process: int
    """The zygote."""
    asked: float = 0.0
    """When the question was put that has no reply yet; 0 without one."""
    heard: float = float("-inf")
    overdue: int = 0
    used: float = 0.0
    """Its processor seconds when it was asked."""

    def __post_init__(self) -> None:
        self._open = [self.answer, self.turn]

    def answered(self, seconds: float) -> bool:
        """Wait so long for the action's answer, or the end of who would give it."""
        deadline = time.monotonic() + seconds
        while heard := select.select(self._open, [], [], max(0.0, deadline - time.monotonic()))[0]:
            if self.turn in heard:
                self._open.remove(self.turn)
                self.over()
                continue
            if self._received(1, socket.MSG_PEEK) != _HERE:
                return True
            self._received(1)
            self.asked, self.heard, self.overdue = 0.0, time.monotonic(), 0
        return False

    def take(self, most: int) -> bytes:
        """The answer; b"" when nobody is left to give it."""
        return self._received(most)

    def lost(self) -> bool:
        """Whether the zygote hangs, at one look of many; asks it when it is time to."""
        now = time.monotonic()
        if not self.asked and now - self.heard >= EVERY:
            with suppress(OSError):  # it has just ended, which the next look shows
                self.answer.send(_HERE)
            self.asked, self.used = now, state_of(self.process)[1]
        self.overdue += bool(self.asked) and now - self.asked > PATIENCE and not self._held_up()
        return self.overdue >= _LOOKS

    def _held_up(self) -> bool:
        """Whether the machine is what is slow: it waits for the disk, or for a processor, which one that spins gets sooner or later."""
        state, used = state_of(self.process)
        return state == "D" or (state == "R" and used - self.used < _SPUN)

    def _received(self, most: int, flags: int = 0) -> bytes:
        for _ in range(2):  # a question that nobody read before the socket was closed is told first, as an error
            with suppress(OSError):
                return self.answer.recv(most, flags)
        return b""
