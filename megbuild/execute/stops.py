"""Processes that are stopped, as by SIGSTOP: they neither answer nor end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_LASTING = 2.0
"""Seconds after which a process that is stopped is taken for dead."""


def state_of(process: int) -> tuple[str, float]:
    """The kernel's letter for what a process does now, and its processor seconds; nothing of one that is gone, which others notice."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return fields[0], (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return "", 0.0


@dataclass
class Stops:
    """Looks at one process, again and again."""

    process: int
    since: float = 0.0
    """When it was first seen stopped; 0 while it is not."""

    def lasting(self) -> bool:
        """Whether it has been stopped at every look for some seconds."""
        if state_of(self.process)[0] not in ("T", "t"):
            self.since = 0.0
            return False
        self.since = self.since or time.monotonic()
        return time.monotonic() - self.since > _LASTING
