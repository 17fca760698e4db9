"""A build is disturbed at one moment, and everything that has to hold afterwards is looked at.

``disturb`` is one moment; ``Findings`` counts many of them. A process is signalled only when it descends from a build
that was started here.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from megbuild.store import durable
from tests.e2e.workspace import Outcome, Running, Workspace

VICTIMS = ("build", "worker", "both")
"""Who is hit: the build's own process; one of the processes below it (launcher, zygote, keeper, action); both."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_GONE = 30.0
"""Seconds within which everything that a dead build had started has to end."""


@dataclass(frozen=True)
class Moment:
    """When a build is hit, who is, and with what."""

    far: float
    """How far the build is, by the lines that it has said: 0 when its first action begins, 1 at its end. So moments are spread
    over the build, however fast the machine is now."""
    after: float
    """Seconds after that line."""
    victim: str
    number: signal.Signals
    pick: float
    """Which of the processes below the build is hit, from 0 to 1."""
    again: tuple[float, ...] = ()
    """Seconds after which the same signal comes again: an impatient user presses Ctrl-C while the build clears away."""

    def __str__(self) -> str:
        more = "".join(f", {after:.3f} s" for after in self.again)
        return f"{self.number.name} to {self.victim} at {self.far:.3f} and {self.after:.3f} s{more} ({self.pick:.2f})"


@dataclass(frozen=True)
class Whole:
    """What a build that nobody disturbed made, and how many lines it said and how long that took from its first action on."""

    artifacts: Mapping[str, bytes]
    ran: frozenset[str]
    lines: int
    seconds: float


@dataclass
class Findings:
    """What was seen at many moments."""

    moments: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    """Actions that had finished in disturbed builds, and were not run again."""
    again: int = 0
    """Actions that the builds after them ran."""
    seconds: float = 0.0

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.moments.items()))
        return (
            f"{sum(self.moments.values())} moments ({kinds}): {self.finished} finished actions were kept, "
            f"{self.again} were run by the next build; {self.seconds:.0f} s"
        )


def chosen(count: int, seed: int, whole: Whole, numbers: tuple[signal.Signals, ...]) -> list[Moment]:
    """Moments by chance, from just before the first action to just after the end of the build."""
    chance = random.Random(seed)
    found = []
    for index in range(count):
        number = numbers[index % len(numbers)]
        victim = VICTIMS[index // len(numbers) % len(VICTIMS)] if number == signal.SIGKILL else "build"
        times = index // len(numbers) % 3 if number != signal.SIGKILL else 0  # how often it comes again
        again = tuple(chance.choice((0.0, 0.002, 0.02, 0.1)) for _ in range(times))
        after = chance.uniform(0.0, 2 * whole.seconds / whole.lines)
        found.append(Moment(chance.uniform(0.0, 1.05), after, victim, number, chance.random(), again))
    return found


def undisturbed(space: Workspace) -> Whole:
    """Build in peace."""
    running = space.start(summary=False)
    running.until("run   ")
    begun = time.monotonic()
    outcome = running.wait()
    seconds = time.monotonic() - begun
    assert outcome.status == 0, outcome.text
    ran = frozenset(line.split()[1] for line in outcome.lines if line.startswith("run "))
    return Whole(space.artifacts(), ran, len(outcome.lines) - len(running.seen), seconds)


def disturb(space: Workspace, moment: Moment, whole: Whole, findings: Findings) -> None:
    """Hit the build of a workspace in which nothing was built yet, and look at everything that has to hold then."""
    running = space.start(summary=False)
    running.until("run   ")
    running.read(int(moment.far * whole.lines))
    time.sleep(moment.after)
    _hit(running, moment)
    outcome = running.wait()
    assert "Traceback" not in outcome.text, f"{moment}\n{outcome.text}"
    if moment.victim == "worker":
        assert outcome.status in (0, 1), f"{moment}: exit status {outcome.status}\n{outcome.text}"
    nobody_is_left(space, running.process.pid)
    assert str(space.root.parent) not in Path("/proc/self/mountinfo").read_text(), "a mount is left"
    _nothing_is_half_made(space, whole)
    finished = finished_in(outcome)
    known = {path.name for path in (space.cache / "store/ac").glob("*/*")}
    again = space.build(summary=False)
    is_whole(space, again, whole)
    ran = {line.split()[1] for line in again.lines if line.startswith("run ")}
    assert not ran & finished, f"{moment}: ran again though it had finished: {sorted(ran & finished)}"
    keys = {path.name for path in (space.cache / "store/ac").glob("*/*")}
    assert len(keys - known) >= len(ran), f"{moment}: what was recorded has run again: {sorted(ran)}"
    assert not [line for line in again.lines if line.startswith("waiting for")], "a lock is stuck"
    nobody_is_left(space, 0)
    nothing_grows(space)
    last = space.build(summary=False)
    assert last.lines[-1].startswith("everything is up to date"), last.text
    times = ("", " twice", " three times")[len(moment.again)]
    findings.moments[f"{moment.number.name}{times} to {moment.victim}"] += 1
    findings.finished += len(finished)
    findings.again += len(ran)


def finished_in(outcome: Outcome) -> set[str]:
    """The actions that a build said to have finished."""
    return {line.split()[1] for line in outcome.lines if line.startswith(("done ", "judge ", "store "))}


def _hit(running: Running, moment: Moment) -> None:
    below = sorted(descendants(running.process.pid))
    if moment.victim != "worker":
        running.process.send_signal(moment.number)
        for after in moment.again:
            time.sleep(after)
            running.process.send_signal(moment.number)
    if moment.victim != "build" and below:
        with suppress(ProcessLookupError):
            os.kill(below[int(moment.pick * len(below))], moment.number)


def descendants(process: int) -> Iterator[int]:
    """The processes below one, as they are now."""
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def is_whole(space: Workspace, outcome: Outcome, whole: Whole) -> None:
    assert outcome.status == 0, outcome.text
    assert space.artifacts() == whole.artifacts, "the next build is not equal to an undisturbed one"


def nobody_is_left(space: Workspace, process: int) -> None:
    until(lambda: not list(of_workspace(space)), f"a process is left: {list(of_workspace(space))}")


def of_workspace(space: Workspace) -> Iterator[str]:
    """The processes that have to do with a workspace: its name is in their command, folder, mounts or open files."""
    name = str(space.root.parent)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            told = (entry / "cmdline").read_bytes().decode(errors="replace")
            if name in told or name in str((entry / "cwd").readlink()) or name in (entry / "mountinfo").read_text():
                yield f"{entry.name} {told[:80]!r}"


def _nothing_is_half_made(space: Workspace, whole: Whole) -> None:
    """What stands in ``out`` and in the store under a name is whole."""
    for path, content in space.artifacts().items():
        assert Path(path).name.startswith(".") or content == whole.artifacts.get(path), f"{path} is not whole"
    for blob in (space.cache / "store/cas").glob("??/[!.]*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name, f"{blob} is not whole"
    for record in (space.cache / "store/ac").glob("??/[!.]*"):
        line, _, checksum = record.read_bytes().partition(b"\n")
        assert hashlib.sha256(line).hexdigest().encode() == checksum.strip(), f"{record} is not whole"


def nothing_grows(space: Workspace) -> None:
    """What the disturbed build had begun is gone after the next one."""
    left = [*space.root.glob(".megbuild/actions/*"), *space.root.glob("**/.*.part"), *space.cache.glob("**/.*.part")]
    left += [*space.cache.glob("store/cas/incoming/*"), *space.cache.glob("store/running/*")]
    left += [path for path in (space.cache / "toolchains").glob("*.partial") if not path.parent.is_symlink()]
    assert not left, f"left for good: {left}"


def until(true: Callable[[], bool], otherwise: str, seconds: float = _GONE) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


CHANGES = ("mkdir", "rename", "rmdir", "unlink", "fsync", "link", "symlink", "chmod")
"""Calls of the module ``os`` that change folders."""


def killed_at(at: int, work: Callable[[], object]) -> bool:
    """Do some work in a child that is killed just before its ``at``-th call that changes a folder; False when it came to its end before that."""
    child = os.fork()
    if not child:
        calls = iter(range(1, 10**6))

        def counted(original: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **named: object) -> object:
                if next(calls) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **named)

            return call

        for name in CHANGES:
            setattr(os, name, counted(getattr(os, name)))
        durable.exchange = counted(durable.exchange)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
