"""Read a TOML file, or say where it is broken."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from megbuild.errors import Location, fail

_BLOCK = 1 << 14
LONGEST = 2 << 20
"""Bytes of a file that people write: two thousand models need one. What is longer was made to exhaust somebody."""


def read(path: str, shown: str) -> dict[str, Any]:
    """The tables of the file at ``path``; errors call it ``shown``."""
    return parse(read_bytes(path, shown), shown)


def read_bytes(path: str, shown: str) -> bytes:
    """The content of a file that must be readable."""
    try:
        # Half the time of open(), which matters for thousands of small files. A pipe without a writer is not waited for.
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise fail("MB136", "is no plain file", "put a file in its place", Location(shown, 1))
            if status.st_size > LONGEST:
                message = f"has {status.st_size / 1e6:.0f} MB, of which no more than {LONGEST / 1e6:.0f} are read"
                raise fail("MB137", message, "divide it among several folders", Location(shown, 1))
            parts = [os.read(number, _BLOCK)]
            while parts[-1] and len(parts) * _BLOCK <= 2 * LONGEST:  # it may grow while it is read
                parts.append(os.read(number, _BLOCK))
            return b"".join(parts)
        finally:
            os.close(number)
    except OSError as error:
        reason = error.strerror or str(error)
        raise fail("MB102", f"cannot be read: {reason.lower()}", "", Location(shown)) from None


def read_text(path: str, shown: str) -> str:
    """The same as text. A byte order mark, which some editors write, is no error."""
    return _text(read_bytes(path, shown), shown)


def _text(data: bytes, shown: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise fail("MB102", "is not UTF-8 text", "save the file as UTF-8", Location(shown, line)) from None


def parse(data: bytes, shown: str) -> dict[str, Any]:
    """The tables in ``data``."""
    import tomli

    try:
        return tomli.loads(_text(data, shown))
    except tomli.TOMLDecodeError as error:
        message, hint = _explained(error.msg)
        raise fail("MB103", message, hint, Location(shown, error.lineno, error.colno)) from None
    except RecursionError:
        raise fail("MB103", "lists, tables or dotted keys are nested too deeply", "", Location(shown, 1)) from None
    except ValueError:
        raise fail("MB103", "holds a number that is too long", "", Location(shown, 1)) from None


def _explained(message: str) -> tuple[str, str]:
    """tomli's message in the user's words, and a hint where there is a usual cause."""
    if twice := re.match(r"Cannot declare \((.*?),?\) twice", message):
        table = ".".join(part.strip(" '\"") for part in twice[1].split(","))
        return f"is not TOML: [{table}] stands there a second time", "join the two tables, or give one another name"
    if message == "Cannot overwrite a value":
        return "is not TOML: a key gets a second value", "remove one of the two"
    said = f"is not TOML: {message[:1].lower()}{message[1:]}".replace("array", "list")
    return said, next((hint for start, hint in _HINTS.items() if message.startswith(start)), "")


_HINTS = {
    "Cannot mutate immutable": "a table was already closed where it was first written: write all of its keys there",
    "Unclosed array": "a list that opens with [ must close with ]",
    "Invalid value": 'a string stands in quotes: key = "value"',
    "Unterminated string": 'close the string with "',
    "Invalid statement": "a line is either [a table] or key = value",
    "Expected '=' after a key": "a line is either [a table] or key = value",
}
