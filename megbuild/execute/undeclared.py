"""Reads and changes of what no model declares: in the box one is a file that is not there, the other a file that is read-only.

Either says little to the author of training code. What is said instead names the line, the file, and the place in MODELS.toml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from megbuild.declare.labels import Label
from megbuild.declare.positions import Place
from megbuild.errors import Problem
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.draft import WEIGHTS

_ERROR = re.compile(
    r"(?:FileNotFound|NotADirectory|Permission|OS)Error: \[Errno (?P<number>\d+)\] [^:]+: (?:(?P<quote>['\"]).+?(?P=quote) -> )?(?P<last>['\"])(?P<path>.+?)(?P=last)"
)
"""Of two paths (a link, a name that is changed) the last one is the file that is made."""
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')
_SOURCE = "in/source"
_NOT_THERE, _NO_FOLDER, _NOT_ALLOWED, _READ_ONLY = "2", "20", "13", "30"
"""Numbers of errors. One is not allowed to change an input, or to reach what is outside of a box without namespaces."""


def undeclared(tail: Sequence[str], action: Action, root: Path, staged: Path) -> Problem | None:
    """The problem that the end of a log tells of; None when it is about something else.

    :param tail: the last lines of the log, frames of the training code as the user wrote them.
    :param action: what ran; only of training code can be said where it would be declared.
    :param staged: its folder, as it was outside of the box.
    """
    error = next((match for line in reversed(tail) if (match := _ERROR.search(line))), None)
    where = declared_at(action, root)
    if not error or not where:
        return None
    model = Label.parse(action.model)
    path = _said(error["path"], staged)
    there = _in_workspace(path, model.package, root)
    frames = [match for line in tail if (match := _FRAME.match(line)) and os.path.isfile(root / match["path"])]  # noqa: PTH113 - of any length
    line = f"{frames[-1]['path']}:{frames[-1]['line']}" if frames else "its training code"
    allowed = there and os.path.exists(staged / _SOURCE / there)  # noqa: PTH110 - to be read
    if error["number"] == _READ_ONLY or (error["number"] == _NOT_ALLOWED and allowed):
        return _change(line, there or _meant(path, model.package), action.model, where)
    if not there or allowed or error["number"] not in (_NOT_THERE, _NO_FOLDER, _NOT_ALLOWED):
        return None
    shown = os.path.relpath(there, model.package or ".")
    shown = shown if not shown.startswith("..") else f"//{there}"
    place = where._replace(keys=(*where.keys[:-1], "data"))
    return Problem(
        "MB415",
        f"{line} reads {there}, which {action.model} does not declare",
        f'declare it: data = ["{shown}"]',
        place,
    )


def declared_at(action: Action, root: Path) -> Place | None:
    """Where the training code that an action runs is declared; None for one that runs none."""
    if not any(isinstance(entry, Leaf) and entry.path.startswith(f"{_SOURCE}/") for entry in action.inputs):
        return None
    label = Label.parse(action.model)
    file = f"{label.package}/MODELS.toml".lstrip("/")
    return Place(file, str(root / file)).key_of("models", label.model, "train" if action.makes == WEIGHTS else "source")


def _change(line: str, path: str, model: str, where: Place) -> Problem:
    hint = "scratch files go to $TMPDIR, and what is trained to the path that train is given"
    return Problem("MB418", f"{line} changes {path}, which {model} may only read", hint, where)


def _said(path: str, staged: Path) -> str:
    """A path of the box as the training code means it: from the workspace's root, with // before it."""
    for folder in ("/work", str(staged)):
        if path.startswith(f"{folder}/{_SOURCE}/"):
            return "//" + path.removeprefix(f"{folder}/{_SOURCE}/")
    return path


def _meant(path: str, package: str) -> str:
    """The path of a file that is not there yet, from the workspace's root where it is relative."""
    return path[2:] if path.startswith("//") else os.path.normpath(Path(package, path))


def _in_workspace(path: str, package: str, root: Path) -> str:
    """The path below the workspace's root of the file that was meant, or '' when there is none."""
    if path.startswith("//"):
        path, package = path[2:], ""
    for place in (Path(package, path), Path(path)):
        relative = os.path.relpath(place, root) if place.is_absolute() else os.path.normpath(place)
        if not relative.startswith("..") and os.path.exists(root / relative):  # noqa: PTH110 - a name of any length
            return relative
    return ""
