"""How two contents of one output differ, told in the terms of their format where there is a reader for it."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from megbuild.release.reading import lines

SHOWN = 12
"""Lines of one difference that are told; the rest is counted."""


def difference(name: str, was: bytes, now: bytes) -> list[str]:
    """The difference in at most ``SHOWN`` lines, and a count of the rest. Nothing when the contents are equal."""
    if was == now:
        return []
    before, after = lines(name, was), lines(name, now)
    if before is not None and after is not None and before != after:
        told = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if not _head(line)]
    else:
        told = list(_bytes(was, now))
        if before is not None and before == after:
            told.insert(0, f"what its {PurePosixPath(name).suffix} says is the same; the bytes differ")
    more = len(told) - SHOWN
    return [*told[:SHOWN], *([f"... and {more} lines more"] if more > 0 else [])]


def _head(line: str) -> bool:
    return line.startswith(("---", "+++", "@@"))


def _bytes(was: bytes, now: bytes) -> Iterator[str]:
    """The first bytes that differ, and how many do."""
    if len(was) != len(now):
        yield f"{len(was)} bytes -> {len(now)} bytes"
    common = min(len(was), len(now))
    places = [place for place in range(common) if was[place] != now[place]]
    if places:
        first = places[0]
        yield f"{len(places)} of {common} bytes differ, the first at {first:#x}, the last at {places[-1]:#x}"
        for sign, content in (("-", was), ("+", now)):
            yield f"{sign} {first:08x}  {content[first : first + 16].hex(' ')}"


def diffoscope(name: str, was: bytes, now: bytes) -> list[str]:
    """What diffoscope says, where it is installed; nothing where it is not."""
    program = shutil.which("diffoscope")
    if program is None:
        return []
    with tempfile.TemporaryDirectory() as temporary:
        paths = []
        for side, content in (("was", was), ("now", now)):
            paths.append(Path(temporary, side, PurePosixPath(name).name))
            paths[-1].parent.mkdir()
            paths[-1].write_bytes(content)
        command = [program, "--text-color=never", f"--max-report-size={1 << 14}", *map(str, paths)]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [line.replace(temporary, "") for line in told.splitlines()]
