"""How an action's process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Ending:
    """An exit status (negative: the signal that ended it), and the limit that megbuild ended it for, if any.

    ``cpu`` in seconds, ``memory`` the peak in bytes. ``sealed``: the box kept it from changing what is not its own.
    ``unread`` are the declared inputs that it did not open; None where that is not known. For ``waited`` seconds it was ready and
    others computed.
    """

    status: int
    limit: str = ""
    cpu: float = 0.0
    memory: int = 0
    sealed: bool = False
    unread: tuple[str, ...] | None = None
    waited: float = 0.0

    @property
    def well(self) -> bool:
        """Whether it did what it should."""
        return self.status == 0 and not self.limit

    def __str__(self) -> str:
        if self.limit:
            return self.limit
        if self.status < 0:
            return f"was ended by {_signal(-self.status)}"
        return f"exited with status {self.status}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time ones have no name
        return f"signal {number}"
