"""Canonical .rknn files: the same bytes from every compilation of the same model.

The compiler writes structures whose members it did not all set. Two kinds of content get into a file that way:
addresses, which differ because the system loads every process elsewhere, and whatever the memory held before. The
compilations compared here ran in processes with different addresses and with fresh memory filled with a known byte
(``native/fill.c``), so each kind shows itself:

- a word that is a (half of an) address of its own process in every compilation becomes zero;
- bytes that are the fill in a compilation with another byte than zero were never set, and are zero already in those
  filled with zero;
- any other difference is refused. What is left was equal in all compilations.

Layout of a file, little-endian: ``RKNN`` and 4 zero bytes, u64 version, u64 N, reserved bytes up to 0x40, N bytes of
payload (a flatbuffer), u64 J, J bytes of JSON. The reserved bytes are never set either and are always zeroed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Mask = NDArray[np.bool_]
Spans = Sequence[tuple[int, int]]
"""Parts of a process's memory, as (first address, address behind the last)."""

FIXED = 0x18
"""Bytes of the header that mean something; what follows up to PAYLOAD is reserved."""
PAYLOAD = 0x40
MOST = 4096
"""More address words than this mean that the compilations differ in substance."""


class Malformed(Exception):
    """The bytes are not a .rknn file; the message says what is wrong."""


class Unlike(Exception):
    """Compilations differ in more than addresses and memory that was never set; the message says where."""


@dataclass(frozen=True)
class Container:
    """A .rknn file taken apart; ``head`` is header and payload, ``tail`` the length of the JSON and the JSON."""

    head: bytes
    tail: bytes
    footer: dict[str, Any]

    @property
    def words(self) -> Words:
        """The head as words; zeros fill the last one up."""
        return np.frombuffer(self.head + bytes(-len(self.head) % 4), "<u4")


def parse(content: bytes) -> Container:
    """Takes a file apart.

    :raises Malformed: when it is not one.
    """
    if len(content) < PAYLOAD + 8 or content[:4] != b"RKNN":
        raise Malformed("it does not begin as a .rknn file")
    (payload,) = struct.unpack_from("<Q", content, 0x10)
    end = PAYLOAD + payload
    if end + 8 > len(content) or end + 8 + struct.unpack_from("<Q", content, end)[0] != len(content):
        raise Malformed("the lengths of its parts do not add up to its size")
    try:
        footer = json.loads(content[end + 8 :])
    except ValueError as error:
        raise Malformed(f"its description is not JSON: {error}") from error
    if not isinstance(footer, dict):
        raise Malformed("its description is not a JSON table")
    return Container(content[:end], content[end:], footer)


@dataclass(frozen=True)
class Compilation:
    """A file, the byte that fresh memory was filled with, and the memory of the process that wrote it."""

    content: bytes
    fill: int
    spans: Spans

    @property
    def upper_halves(self) -> frozenset[int]:
        """The upper 32 bits that an address of the process can have, other than zero."""
        halves = (range(first >> 32, ((end - 1) >> 32) + 1) for first, end in self.spans)
        return frozenset(half for some in halves for half in some if half)


@dataclass(frozen=True)
class Canonical:
    """The canonical file, and how much of it is zero for which reason."""

    content: bytes
    address_words: int
    never_set_bytes: int


def could_coincide(compilations: Sequence[Compilation]) -> bool:
    """Whether an address could have the same upper half in all of them, and so be taken for part of the model.

    Addresses of the stack have one of four upper halves: it happens to about one in sixteen sets of three.
    """
    return bool(frozenset.intersection(*(one.upper_halves for one in compilations)))


def canonicalise(compilations: Sequence[Compilation]) -> Canonical:
    """The canonical file of compilations of one model; at least one of them was filled with zero.

    :raises Malformed: when one is not a .rknn file.
    :raises Unlike: when they differ in more than addresses and memory that was never set.
    """
    parts = [parse(one.content) for one in compilations]
    reference = next(part for part, one in zip(parts, compilations, strict=True) if one.fill == 0)
    for part in parts:
        _same_outside(reference, part)
    rows = np.stack([part.words for part in parts])
    rows[:, FIXED // 4 : PAYLOAD // 4] = 0
    base = next(row for row, one in zip(rows, compilations, strict=True) if one.fill == 0)
    never_set = np.zeros((len(base), 4), bool)
    moved = np.zeros(len(base), bool)
    for row, one in zip(rows, compilations, strict=True):
        filled = _filled(base, row, one.fill)
        never_set |= filled
        moved |= ((_bytes(row) != _bytes(base)) & ~filled).any(1)
    _only_addresses(rows, moved, compilations)
    content = np.where(moved, 0, base).astype("<u4").tobytes()[: len(reference.head)]
    never_set[moved] = False
    return Canonical(content + reference.tail, int(moved.sum()), int(never_set.sum()))


def _same_outside(reference: Container, part: Container) -> None:
    if (len(part.head), part.head[:FIXED]) != (len(reference.head), reference.head[:FIXED]):
        raise Unlike(f"they have payloads of {len(reference.head)} and {len(part.head)} bytes or unlike headers")
    if part.tail != reference.tail:
        raise Unlike("they describe their inputs and results differently")


def _bytes(words: Words) -> NDArray[np.uint8]:
    return words.view(np.uint8).reshape(-1, 4)


def _filled(base: Words, row: Words, fill: int) -> Mask:
    """Bytes that hold the fill in ``row`` and zero in ``base``, which was filled with zero."""
    filled: Mask = (_bytes(base) == 0) & (_bytes(row) == fill) & (fill != 0)
    return filled


def _only_addresses(rows: Words, moved: Mask, compilations: Sequence[Compilation]) -> None:
    places = np.flatnonzero(moved)
    if len(places) > MOST:
        raise Unlike(f"they differ in {len(places)} words")
    for place in places.tolist():
        for row, one in zip(rows, compilations, strict=True):
            if not _explained(row, place, one):
                values = ", ".join(f"{int(value):08x}" for value in rows[:, place])
                raise Unlike(f"the word at {place * 4:#x} is no address: {values}")


def _explained(row: Words, place: int, one: Compilation) -> bool:
    """Whether a word is part of an address of its process, or memory that was never set.

    The half of an address whose other half was overwritten stands alone.
    """
    word = int(row[place])
    if word == one.fill * 0x01010101 or word in one.upper_halves:
        return True
    above = int(row[place + 1]) if place + 1 < len(row) else 0
    return any(_inside(half << 32 | word, one.spans) for half in {above, *one.upper_halves})


def _inside(address: int, spans: Spans) -> bool:
    return any(first <= address < end for first, end in spans)


def is_of(canonical: bytes, compiled: bytes) -> bool:
    """Whether a canonical file is that of a compilation: equal wherever it is not zero.

    :raises Malformed: when one is not a .rknn file.
    """
    ours, raw = parse(canonical), parse(compiled)
    if (len(ours.head), ours.tail) != (len(raw.head), raw.tail):
        return False
    return bool(((ours.words == raw.words) | (ours.words == 0)).all())
