"""A read of a file that no model declares: inside of the box it is a file that is not there, which says little to its author."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from megbuild.declare.labels import Label
from megbuild.declare.positions import Place
from megbuild.errors import Problem

_NOT_THERE = re.compile(r"(?:FileNotFoundError|NotADirectoryError): \[Errno \d+\] [^:]+: '(?P<path>[^']+)'$")
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')
_STAGED = "/work/in/source/"


def undeclared_read(tail: Sequence[str], model: str, root: Path) -> Problem | None:
    """The problem that the end of a log tells of, when the missing file is one of the workspace.

    :param tail: the last lines of the log, frames of the training code as the user wrote them.
    :param model: the label of the model whose training code ran.
    """
    missing = next((match for line in reversed(tail) if (match := _NOT_THERE.search(line))), None)
    label = Label.parse(model)
    path = missing and _in_workspace(missing["path"], label.package, root)
    if not path:
        return None
    frames = [match for line in tail if (match := _FRAME.match(line)) and (root / match["path"]).is_file()]
    reader = f"{frames[-1]['path']}:{frames[-1]['line']}" if frames else "its training code"
    file = f"{label.package}/MODELS.toml".lstrip("/")
    place = Place(file, str(root / file)).key_of("models", label.model, "data")
    said = os.path.relpath(path, label.package or ".")
    shown = said if not said.startswith("..") else f"//{path}"
    return Problem(
        "MB415", f"{reader} reads {path}, which {model} does not declare", f'declare it: data = ["{shown}"]', place
    )


def _in_workspace(path: str, package: str, root: Path) -> str:
    """The path below the workspace's root of the file that was meant, or '' when there is none."""
    if path.startswith(_STAGED):
        path, package = path.removeprefix(_STAGED), ""
    for place in (Path(package, path), Path(path)):
        relative = os.path.relpath(place, root) if place.is_absolute() else os.path.normpath(place)
        if not relative.startswith("..") and (root / relative).exists():
            return relative
    return ""
