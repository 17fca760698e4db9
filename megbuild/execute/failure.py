"""A failed action, told so that a user can mend it: one sentence, the log, and how to run it by hand."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from megbuild.errors import Problem, printable
from megbuild.execute.zygote import Limits
from megbuild.graph.sources import written_line
from megbuild.store.durable import placing, write_all
from megbuild.store.recovery import BY_HAND

_FRAME = re.compile(r'File "(?:[^"]*/)?in/source/(?P<path>[^"]+)", line (?P<line>\d{1,9})(?!\d)')
_NOT_ITS_OWN = re.compile(r"Read-only file system: (.+)$")
_DISK_FULL = "No space left on device"
_OUT_OF_MEMORY = ("MemoryError", "std::bad_alloc", "Cannot allocate memory")
_OUT_OF_PROCESSES = ("Resource temporarily unavailable", "can't start new thread", "Cannot fork")
_TOO_LARGE = "File too large"
TAIL = 15
"""How many lines of the log are shown."""
_LONGEST_REFUSAL = 1 << 20
"""Bytes of a refusal that are read."""


@dataclass
class ActionFailed(Exception):
    """An action did not give its result.

    ``refused`` says that the worker declined with a sentence for the user, instead of breaking.
    """

    action: str
    message: str
    log: str = ""
    by_hand: str = ""
    tail: tuple[str, ...] = ()
    refused: bool = False
    troubles: tuple[tuple[str, str], ...] = ()
    """What stands in the way in the network: an operation's qualified name, and a sentence."""

    def __str__(self) -> str:
        lines = [f"{self.action}: {self.message}"]
        lines += [f"  {text}" for _, text in self.troubles]
        lines += [f"  | {line}" for line in self.tail]
        lines += [f"  log: {self.log}"] if self.log else []
        lines += [f"  by hand: {self.by_hand}"] if self.by_hand else []
        return "\n".join(lines)


def located(failure: ActionFailed, operations: bytes, root: Path, as_it_is: Collection[str]) -> ActionFailed:
    """The failure with the line of the training code behind each trouble.

    :param operations: ``operations.json`` of the traced network: the path, file and line of each of its operations.
    :param as_it_is: the files that were staged as the user wrote them.
    """
    noted: dict[str, list[str]] = {}
    try:
        for entry in json.loads(operations):
            noted.setdefault(entry["path"], []).append(_origin(entry, root, as_it_is))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return failure  # code of the network ran beside what wrote it: it tells of no lines then
    told = []
    for place, text in failure.troubles:  # operations of one kind in one module may share a path
        lines = ", ".join(dict.fromkeys(noted.get(place, ())))
        told.append((place, f"{lines}: {text}" if lines else text))
    return replace(failure, troubles=tuple(told))


def _origin(entry: Mapping[str, Any], root: Path, as_it_is: Collection[str]) -> str:
    """Where an operation comes from: a line of training code, or a node of a delivered file."""
    if "node" in entry:
        return f"node {entry['node']}"
    file, line = entry["file"], entry["line"]
    if file not in as_it_is and (root / file).resolve().is_relative_to(root.resolve()):
        line = _user_line(root / file, line)
    return f"{file}:{line}"


def _user_line(path: Path, line: int) -> int:
    """The line as the user wrote it; the staged one where the file cannot be read any more."""
    try:
        return written_line(path.read_text("utf-8"), line)
    except (OSError, SyntaxError, ValueError):
        return line


def log_tail(log: Path, root: Path, staged: Path, lines: int = TAIL) -> tuple[str, ...]:
    """The end of a log, with the frames of the training code ``staged`` shown as the lines that the user wrote."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 64_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    shown = printable(text, "\n")
    return tuple(_as_written(line, root, staged)[:300] for line in shown.strip().splitlines()[-lines:])


def _as_written(line: str, root: Path, staged: Path) -> str:
    def mended(match: re.Match[str]) -> str:
        number = int(match["line"])
        try:
            written = (root / match["path"]).read_text("utf-8")
            if (staged / match["path"]).read_text("utf-8") != written:  # else it was staged as it is
                number = written_line(written, number)
        except (OSError, SyntaxError, ValueError):
            return match[0]
        return f'File "{match["path"]}", line {number}'

    return _FRAME.sub(mended, line)


def refusal(path: Path) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The sentence with which a worker refused, and what stands in the way: an operation's name, and a sentence.

    It stands in a file that code of the action may have written instead: nothing is taken for granted.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = (
                file.read(_LONGEST_REFUSAL).decode(errors="replace")
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                else ""
            )
    except OSError:
        text = ""
    lines = [printable(line, "\t") for line in text.split("\n")]
    parts = [line.partition("\t") for line in lines[1:] if line.strip()]
    sentence = " ".join(lines[0].split()) or "refused, and did not say why"
    return sentence, tuple((place, said.replace("\t", " ")) for place, _, said in parts)


def limit_of(tail: Sequence[str], limits: Limits) -> str:
    """The limit of the box that the end of a log tells of, in words; '' when it tells of none."""
    for line in reversed(tail):
        if match := _NOT_ITS_OWN.search(line):
            return f"tried to change {match[1]}: an action may write to out/ and $TMPDIR only"
        if _DISK_FULL in line:
            return str(Problem("MB610", "found no space left on the disk"))
        if any(words in line for words in _OUT_OF_MEMORY):
            return f"asked for more memory than it may have ({limits.memory / 1e6:.0f} MB)"
        if any(words in line for words in _OUT_OF_PROCESSES):
            return f"asked for more processes or threads than it may have ({limits.processes})"
        if _TOO_LARGE in line:
            return f"wrote more than {limits.output / 1e6:.0f} MB to a file"
    return ""


def write_by_hand(folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Leave a script beside a failed action's staged folder that runs the same command in the same environment."""
    script = folder / BY_HAND
    variables = " \\\n  ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items()))
    text = f'#!/bin/sh\ncd "$(dirname "$0")" && exec env -i {variables} \\\n  {shlex.join(command)}\n'
    with placing(script, mode=0o755, durable=False) as descriptor:  # half of it would keep the folder, and be of no use
        write_all(descriptor, text.encode())
    return f"sh {shlex.quote(str(script))}"
