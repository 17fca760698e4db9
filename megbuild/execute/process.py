"""One process of one action: started in its staged folder, ended with all its children."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Ending:
    """How a process ended: its exit status (negative: the signal that ended it), and whether its time ran out."""

    status: int
    timed_out: bool = False

    def __str__(self) -> str:
        if self.timed_out:
            return "ran out of time"
        if self.status < 0:
            return f"was ended by {_signal(-self.status)}"
        return f"exited with status {self.status}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time ones have no name
        return f"signal {number}"


@dataclass
class Processes:
    """The processes that run now, so that an interrupted build can end them all."""

    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False

    def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, seconds: float
    ) -> Ending:
        """Run to the end with exactly ``environment``; output and errors go to ``log``.

        :param seconds: the wall time after which the process and its children are killed.
        """
        with open(log, "ab") as output:
            with self._lock:
                if self.stopped:
                    return Ending(-signal.SIGINT)
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                self._running.add(process)
            timed_out = False
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                _kill_group(process)
                process.wait()
                with self._lock:
                    self._running.discard(process)
        return Ending(process.returncode, timed_out)

    def stop(self) -> None:
        """End every process that runs now, and start no more."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process's session: also the children that it did not wait for."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
