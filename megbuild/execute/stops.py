"""Processes that are stopped, as by SIGSTOP: they neither answer nor end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

_LASTING = 2.0
"""Seconds after which a process that is stopped is taken for dead."""


@dataclass
class Stops:
    """Looks at one process, again and again."""

    process: int
    since: float = 0.0
    """When it was first seen stopped; 0 while it is not."""

    def lasting(self) -> bool:
        """Whether it has been stopped at every look for some seconds."""
        try:
            state = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):  # it is gone, which others notice
            return False
        if state not in ("T", "t"):
            self.since = 0.0
            return False
        self.since = self.since or time.monotonic()
        return time.monotonic() - self.since > _LASTING
