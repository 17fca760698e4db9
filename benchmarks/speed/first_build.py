"""Builds the workspace in the current folder for the first time, in this process, and says what that cost as JSON.

Everything is megbuild's own (load, plan, schedule, store, publish, record) but two things: an action is a hash of what
it reads (with as many bytes behind it as the command line says), computed here, because a hundred thousand processes would measure the kernel; and nothing waits for the disk.
Runs in megbuild's environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from megbuild import pipeline
from megbuild.execute import local
from megbuild.execute.builder import Done, Ran
from megbuild.execute.turns import Places
from megbuild.graph.actions import Action
from megbuild.graph.fingerprint import Fingerprint
from megbuild.graph.reasons import Reason
from megbuild.pipeline.execution import Work
from megbuild.store.content import ContentStore


class Hashing:
    """A runner whose actions make a text of what they read, with ``size`` bytes that look random behind it."""

    def __init__(self, content: ContentStore, size: int = 0) -> None:
        self.content, self.size = content, size

    def run(self, action: Action, now: Fingerprint, places: Places) -> Ran:
        """See :class:`megbuild.execute.builder.Runner`."""
        told = hashlib.sha256(repr(sorted((p, d.sha256) for p, d in now.staged.items())).encode()).hexdigest()
        more = hashlib.shake_256(told.encode()).digest(self.size)
        made = {f"artifact/{n}": self.content.put_bytes(f"{n} {told}\n".encode() + more) for n in action.artifact}
        notes = [name for name in action.outputs if name != "artifact"]
        made |= {name: self.content.put_bytes(f"{name} {told}\n".encode()) for name in notes}
        return Ran(dict(sorted(made.items())), self.content.put_bytes(b"log"))

    def stop(self) -> None:
        """Nothing runs beside this."""


class Silent:
    """A listener that only counts."""

    ran = 0

    def started(self, action: Action, reasons: tuple[Reason, ...]) -> None:
        """See :class:`megbuild.execute.builder.Listener`."""
        self.ran += 1

    def finished(self, done: Done) -> None:
        """Nothing to say."""

    def note(self, text: str) -> None:
        """Nothing to say."""


def in_order(slices: Iterable[Work]) -> None:
    """A schedule: one action after the other."""
    for work in slices:
        for id in work.stale:
            work.builder.ensure(id)
        work.over()


def peak_mib() -> float:
    """The most memory that this program has taken; rusage would count the process that started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Build, and print the cost."""
    os.fsync = os.fdatasync = lambda descriptor: None
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    local.Local = lambda *given: Hashing(given[3], size)  # type: ignore[assignment, misc, return-value]
    marks = {"import": time.process_time()}
    prepare = pipeline.prepare

    def marked(*given: object) -> pipeline.Prepared:
        prepared = prepare(*given)  # type: ignore[arg-type]
        marks["plan"] = time.process_time()
        marks["plan_mib"] = peak_mib()
        return prepared

    pipeline.prepare = marked
    listener = Silent()
    report = pipeline.build(pipeline.Asked((), Path.cwd()), listener, in_order)
    assert not report.failed, report.failed[0]
    whole = time.process_time()
    said = {
        "ran": listener.ran,
        "outputs": len(report.rows),
        "plan_s": round(marks["plan"] - marks["import"], 3),
        "build_s": round(whole - marks["plan"], 3),
        "plan_peak_mib": round(marks["plan_mib"]),
        "peak_mib": round(peak_mib()),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
