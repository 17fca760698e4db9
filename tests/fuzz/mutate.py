"""Changes texts by their structure: lines, words, values and brackets, with the words that a format knows.

A coverage-guided fuzzer changes bytes; most of what it makes of a TOML file is no TOML. This makes what mostly still is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_PIECES = re.compile(rb"[A-Za-z0-9_.\-/]+|\"[^\"\n]*\"|\s+|.", re.DOTALL)
_BOMBS: tuple[bytes, ...] = (
    b"[" * 400, b"{a=" * 300, b".a" * 400, b"9" * 5000, b"../" * 20, b"/" * 300, b"**/" * 40, b"a" * 300, b"\0", b"\xff",
    b"\xe2\x80\xae", b"1e999", b"nan", b"-1", b"18446744073709551616", b"0x" + b"f" * 40, b"1979-05-27", b"\r\n", b"\x1b[2J",
    b"~", b"//", b"...", b"@", b":", b"''", b'"""', b"$", b"%s", b"{}", b"[]", b"true", b"//..:..@..", b"<<", b"*", b"[!",
)  # fmt: skip


def mutated(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """``data`` with one to four changes. ``words`` are what the format knows; ``others`` are files to take parts of."""
    for _ in range(chance.randint(1, 4)):
        data = chance.choice(_CHANGES)(data, words, chance, others)
    return data


Change = Callable[[bytes, Sequence[bytes], random.Random, Sequence[bytes]], bytes]


def _lines(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Remove, repeat, swap or move lines."""
    lines = data.split(b"\n")
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines[at:at] = [lines[to]] * chance.choice((1, 1, 2, 50))
    elif how == 2:
        lines[at], lines[to] = lines[to], lines[at]
    else:
        lines.insert(to, lines.pop(at))
    return b"\n".join(lines)


def _piece(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Put something else in the place of a word, a string or a sign."""
    pieces = _PIECES.findall(data) or [b""]
    at = chance.randrange(len(pieces))
    new = chance.choice((*words, *_BOMBS)) if chance.random() < 0.7 else chance.choice(pieces)
    pieces[at] = b'"%s"' % new if pieces[at][:1] == b'"' and new[:1] != b'"' and chance.random() < 0.8 else new
    return b"".join(pieces)


def _insert(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice((*words, *_BOMBS)) + data[at:]


def _cut(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.choice((1, 2, 8, 100, len(data))) :]


def _splice(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes]) -> bytes:
    """A part of another file in the place of a part of this one."""
    other = chance.choice(others) if others else data
    a, b = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    c, d = sorted((chance.randrange(len(other) + 1), chance.randrange(len(other) + 1)))
    return data[:a] + other[c:d] + data[b:]


def _bit(data: bytes, words: Sequence[bytes], chance: random.Random, others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\x80"
    changed = bytearray(data)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


_CHANGES: tuple[Change, ...] = (_lines, _piece, _piece, _piece, _insert, _cut, _splice, _bit)
