"""MODELS.trust, at the root of a workspace: names in delivered pickles that somebody has reviewed, and allows.

One line for each, sorted: the SHA-256 of the file, the dotted name, and a note. Nothing in it is about the file as a whole,
so that two people's lines merge::

    0f3c...9a7e  mypackage.ops.Swish  reviewed by Ada: a plain function of the vendor's
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from megbuild.errors import Location, MegbuildError, Problem

NAME = "MODELS.trust"
_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})\s+(?P<name>[\w<>]+(?:\.[\w<>]+)+)(?:\s+(?P<note>\S.*))?")
_HEAD = "# Names in pickles that were reviewed and may be looked up; `doit trust LABEL` adds lines. SHA-256 of the file, name, note."


class Reviewed(Struct, frozen=True, order=True):
    """A reviewed exception: this file may look up this dotted name."""

    sha256: str
    name: str
    note: str = ""


def parse(text: str, shown: str = NAME) -> tuple[Reviewed, ...]:
    """The exceptions of a file, in its order; every bad line is a problem of one MegbuildError."""
    found: list[Reviewed] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match:
            found.append(Reviewed(match["sha256"], match["name"], match["note"] or ""))
        else:
            hint = "a line is the file's SHA-256 (64 hexadecimal digits), a dotted name, and a note"
            problems.append(Problem("MB135", "is no reviewed exception", hint, Location(shown, number)))
    if problems:
        raise MegbuildError(tuple(problems))
    return tuple(found)


def read(root: Path) -> tuple[Reviewed, ...]:
    """The exceptions of a workspace; none where it has no such file."""
    from megbuild.declare import toml_file

    path = root / NAME
    if not path.is_file():
        return ()
    return parse(toml_file.read_text(str(path), NAME))


def text(exceptions: Iterable[Reviewed]) -> str:
    """The file that says this."""
    lines = (f"{e.sha256}  {e.name}" + (f"  {e.note}" if e.note else "") for e in sorted(set(exceptions)))
    return "\n".join([_HEAD, *lines]) + "\n"


def by_file(exceptions: Iterable[Reviewed]) -> Mapping[str, tuple[str, ...]]:
    """The names that each file may look up, sorted, by the file's SHA-256."""
    found: dict[str, set[str]] = {}
    for entry in exceptions:
        found.setdefault(entry.sha256, set()).add(entry.name)
    return {sha256: tuple(sorted(names)) for sha256, names in sorted(found.items())}
