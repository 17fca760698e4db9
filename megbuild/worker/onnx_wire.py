"""What an ONNX file says of other files and of sizes, read from its bytes before any library parses them.

Every tensor is looked at, wherever it stands: among the initialisers, sparse ones too, in attributes, in graphs within graphs,
in functions and in what training adds. A file is mapped, not read: what it claims costs no memory.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Union

LARGEST = (1 << 31) - 1
"""Bytes that a message of protobuf can have."""
_DEEPEST = 100
"""Messages within messages, as protobuf has it."""
_MOST_STEPS = 50_000_000
"""Fields that are looked at; a graph of a million nodes has fewer."""
_Kind = Mapping[int, str]
_KINDS: Mapping[str, _Kind] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Of each message: the numbers of the fields that lead to tensors, and what they hold (onnx.proto)."""
_DIMS, _NAME, _EXTERNAL, _LOCATION, _SPARSE_DIMS = 1, 8, 13, 14, 3
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_View = Union[mmap.mmap, bytes]


class Fault(ValueError):
    """What is wrong with the file, in one sentence that goes on from its name."""


def check(path: Path) -> None:
    """Raises Fault when the file reaches for others, claims what it does not hold, or is no message at all."""
    size = path.stat().st_size
    if size > LARGEST:
        raise Fault(f"has {size / 1e9:.1f} GB; an ONNX file has at most 2 GiB")
    if not size:
        raise Fault("is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        check_bytes(content)


def check_bytes(content: _View) -> None:
    """The same for what is in memory."""
    pending = [(0, len(content), "model", 0)]
    steps = 0
    while pending:
        at, end, kind, depth = pending.pop()
        if depth > _DEEPEST:
            raise Fault(f"has messages nested deeper than {_DEEPEST}")
        below = _KINDS[kind]
        tensor = _Tensor(end - at) if kind in ("tensor", "sparse") else None
        while at < end:
            steps += 1
            if steps > _MOST_STEPS:
                raise Fault(f"has more than {_MOST_STEPS} fields")
            head, at = _varint(content, at, end)
            number, wire = head >> 3, head & 7
            start, value, at = _skip(content, at, end, wire)
            if wire == _BYTES and number in below:
                pending.append((start, at, below[number], depth + 1))
            elif tensor:
                tensor.take(content, kind, number, wire, start, at, value)
        if tensor:
            tensor.judge(kind)


def _skip(content: _View, at: int, end: int, wire: int) -> tuple[int, int, int]:
    """Where a field's value begins, the value itself if it is a number, and where the next field begins."""
    value = 0
    start = at
    if wire == _VARINT:
        value, at = _varint(content, at, end)
    elif wire == _BYTES:
        length, start = _varint(content, at, end)
        at = start + length
    elif wire in (_EIGHT, _FOUR):
        at += 8 if wire == _EIGHT else 4
    else:
        raise Fault("is not an ONNX file")
    if at > end:
        raise Fault("claims more bytes than it holds: it is cut off, or no ONNX file")
    return start, value, at


def _varint(content: _View, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise Fault("ends in the middle of a number: it is cut off, or no ONNX file")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Fault("is not an ONNX file")


class _Tensor:
    """What one tensor, or the shape of a sparse one, says of itself."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.name = ""
        self.dims: list[int] = []
        self.elsewhere = False

    def take(self, content: _View, kind: str, number: int, wire: int, start: int, end: int, value: int) -> None:
        if number == (_DIMS if kind == "tensor" else _SPARSE_DIMS):
            if wire == _VARINT:
                self.dims.append(value)
            while wire == _BYTES and start < end:
                value, start = _varint(content, start, end)
                self.dims.append(value)
            if len(self.dims) > 1000:
                raise Fault("has a tensor of more than 1000 dimensions")
        elif kind == "tensor" and number == _NAME and wire == _BYTES:
            self.name = bytes(content[start : min(end, start + 80)]).decode("utf-8", "replace")
        elif kind == "tensor" and (number == _EXTERNAL or (number == _LOCATION and value)):
            self.elsewhere = True

    def judge(self, kind: str) -> None:
        called = f'the tensor "{self.name}"'
        if self.elsewhere:
            raise Fault(f"keeps {called} in another file (external data): export it as one file")
        if any(axis >= 1 << 63 for axis in self.dims):
            raise Fault(f"has a negative dimension in {called}")
        count = math.prod(self.dims)
        if kind == "tensor" and count > 8 * self.size:  # no element takes less than a bit
            raise Fault(f"claims {min(count, 10**18)} values for {called}, and holds fewer")
        if kind == "sparse" and count > LARGEST:
            raise Fault(f"claims {min(count, 10**18)} values for a sparse tensor")
