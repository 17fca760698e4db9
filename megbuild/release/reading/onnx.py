"""ONNX, read from its protocol buffers: nodes with their attributes, initialisers by digest, inputs and outputs.

Field numbers are those of onnx.proto3 of ONNX 1.16.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL = {1: "ir_version", 2: "producer_name", 3: "producer_version", 6: "doc_string"}


def lines(content: bytes) -> Iterator[str]:
    """Every part of the model in its order."""
    for number, value in fields(content):
        if number == 7 and isinstance(value, bytes):
            yield from _graph(value)
        elif number == 8 and isinstance(value, bytes):
            yield f"opset {_one(value, 1) or 'ai.onnx'} {_one(value, 2)}"
        elif number in _MODEL:
            yield f"{_MODEL[number]} {_said(value)}"


def operators(content: bytes) -> Iterator[str]:
    """The type of every node."""
    for number, value in fields(content):
        if number == 7 and isinstance(value, bytes):
            for inner, node in fields(value):
                if inner == 1 and isinstance(node, bytes):
                    yield _one(node, 4)


def _graph(graph: bytes) -> Iterator[str]:
    for number, value in fields(graph):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            yield _node(value)
        elif number == 5:
            yield _tensor(value)
        elif number in (11, 12, 13):
            yield f"{ {11: 'input', 12: 'output', 13: 'value'}[number] } {_one(value, 1)} {_short(value)}"
        elif number == 2:
            yield f"graph {_said(value)}"


def _node(node: bytes) -> str:
    given, made, attributes = [], [], []
    for number, value in fields(node):
        if number == 1:
            given.append(_said(value))
        elif number == 2:
            made.append(_said(value))
        elif number == 5 and isinstance(value, bytes):
            attributes.append(_attribute(value))
    shown = f" [{', '.join(attributes)}]" if attributes else ""
    return f"node {_one(node, 4)} {_one(node, 3)} ({', '.join(given)}) -> ({', '.join(made)}){shown}"


def _attribute(attribute: bytes) -> str:
    values = [_said(value) for number, value in fields(attribute) if number not in (1, 20)]
    return f"{_one(attribute, 1)}={','.join(values)}"


def _tensor(tensor: bytes) -> str:
    shape = [_said(value) for number, value in fields(tensor) if number == 1]
    return f"initializer {_one(tensor, 8)} type {_one(tensor, 2)} shape [{', '.join(shape)}] {_short(tensor)}"


def _one(message: bytes, wanted: int) -> str:
    return next((_said(value) for number, value in fields(message) if number == wanted), "")


def _said(value: int | bytes) -> str:
    if isinstance(value, int):
        return str(value)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return _short(value)
    return text if text.isprintable() and len(text) < 200 else _short(value)


def _short(value: bytes) -> str:
    return f"{len(value)} bytes {hashlib.sha256(value).hexdigest()[:16]}"


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: a number and its value, in their order."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == _VARINT:
            value: int | bytes
            value, at = _varint(message, at)
        elif wire == _BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field goes beyond its message")
            value, at = message[at : at + length], at + length
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
            value, at = message[at : at + length], at + length
        else:
            raise ValueError(f"wire type {wire}")
        yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
