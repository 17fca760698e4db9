"""Measuring commands: processor time of the whole process tree, wall time, peak memory; alternating runs and medians."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Command:
    """What is run where; ``environment`` is added to ours, ``server`` is a process that does the work for it, if any."""

    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    server: int = 0


@dataclass
class Runs:
    """What was measured of one command, run by run: seconds of user and system time, of wall time, and peak MiB."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)

    def told(self) -> dict[str, float]:
        """Medians and the spread, in ms and MiB."""
        return {
            **spread("cpu_ms", [seconds * 1e3 for seconds in self.cpu]),
            "wall_ms": round(statistics.median(self.wall) * 1e3, 2),
            "peak_mib": round(max(self.peak), 1),
            "runs": len(self.cpu),
        }


def once(command: Command, runs: Runs | None = None) -> str:
    """Run a command, which must succeed; gives what it printed. All that it started and waited for is counted."""
    read, write = os.pipe()
    before, _ = _used_by(command.server)
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(command.folder)
            os.dup2(write, 1)
            os.dup2(write, 2)
            os.closerange(3, 64)
            os.execvpe(command.words[0], command.words, {**os.environ, **command.environment})
        finally:
            os._exit(127)
    os.close(write)
    with open(read, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(command.words)} ended with {os.waitstatus_to_exitcode(status)}:\n{said[-2000:]}")
    if runs is not None:
        runs.wall.append(time.monotonic() - begun)
        after, peak = _used_by(command.server)
        runs.cpu.append(used.ru_utime + used.ru_stime + after - before)
        runs.peak.append(max(used.ru_maxrss / 1024, peak))
    return said


def _used_by(process: int) -> tuple[float, float]:
    """Processor seconds of a process so far, to 10 ms, and its peak MiB; nothing of no process."""
    if not process:
        return 0.0, 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # of threads that have ended, too
    status = Path(f"/proc/{process}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return ticks / os.sysconf("SC_CLK_TCK"), peak / 1024


def alternate(commands: Mapping[str, Command], times: int) -> dict[str, Runs]:
    """Run every command once unmeasured, then all of them in turn, so that whatever slows the machine slows each."""
    runs = {name: Runs() for name in commands}
    for command in commands.values():
        once(command)
    for _ in range(times):
        for name, command in commands.items():
            once(command, runs[name])
    return runs


def ratio(of: Runs, to: Runs) -> float:
    """The median of the ratios of processor time, run by run."""
    return round(statistics.median(a / b for a, b in zip(of.cpu, to.cpu, strict=True)), 3)


def spread(name: str, measured: Sequence[float], digits: int = 2) -> dict[str, float]:
    """The median of what was measured, under its name, and the least and the most of it."""
    found = {name: statistics.median(measured), f"{name}_min": min(measured), f"{name}_max": max(measured)}
    return {key: round(value, digits) for key, value in found.items()}


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.machine()}"
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": system,
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 1),
    }


def report(said: dict[str, Any], where: str) -> None:
    """Print the figures, and write them to a file when one is named."""
    text = json.dumps(said, indent=1)
    print(text)
    if where:
        Path(where).write_text(text + "\n")


def options(words: Sequence[str], **defaults: Any) -> dict[str, Any]:
    """``--name value`` pairs with their defaults, whose types they have."""
    given = dict(defaults)
    rest = list(words)
    while rest:
        name = rest.pop(0).removeprefix("--")
        if name not in defaults or not rest:
            known = " ".join(f"--{key} {value or key.upper()}" for key, value in defaults.items())
            sys.exit(f"usage: {Path(sys.argv[0]).name} {known}")
        given[name] = type(defaults[name])(rest.pop(0))
    return given
