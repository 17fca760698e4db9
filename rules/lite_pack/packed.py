"""The file that Lite calls a packed model: a tag, and a flatbuffer with a header, a description and a network.

The tables and the places of their fields are those of MegEngine's lite/src/parse_model/pack_model.fbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flatbuffers
from flatbuffers import encode, packer
from flatbuffers.table import Table

TAG = b"packed_model"
PARSER = "LITE_default"
"""Lite's own parser of descriptions."""
NAME, INFO_METHOD, INFO_PARSER, MODEL_METHOD, HEADER_FIELDS = 0, 1, 2, 3, 6
HEADER, INFO, DATA, MODEL_FIELDS = 0, 1, 2, 3


@dataclass(frozen=True)
class Packed:
    """What is in the file. ``method`` is how Lite decrypts network and description; NONE: it does not."""

    name: str
    method: str
    description: bytes
    network: bytes


def write(packed: Packed) -> bytes:
    """The bytes of the file."""
    builder = flatbuffers.Builder(len(packed.network) + len(packed.description) + 1024)
    name, method, parser = (builder.CreateString(text) for text in (packed.name, packed.method, PARSER))
    description, network = builder.CreateByteVector(packed.description), builder.CreateByteVector(packed.network)
    header = _table(
        builder, HEADER_FIELDS, {NAME: name, INFO_METHOD: method, INFO_PARSER: parser, MODEL_METHOD: method}
    )
    info, data = _table(builder, 3, {0: description}), _table(builder, 1, {0: network})
    model = _table(builder, MODEL_FIELDS, {HEADER: header, INFO: info, DATA: data})
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(model)
    builder.Finish(_table(builder, 1, {0: builder.EndVector()}))
    return TAG + bytes(builder.Output())


def _table(builder: Any, fields: int, offsets: dict[int, int]) -> int:
    builder.StartObject(fields)
    for place, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    return int(builder.EndObject())


def read(content: bytes) -> Packed:
    """What a packed model holds; a ValueError for anything else."""
    if content[: len(TAG)] != TAG:
        raise ValueError("no packed model")
    buffer = bytearray(content[len(TAG) :])
    root = Table(buffer, encode.Get(packer.uoffset, buffer, 0))
    models = _field(root, 0)
    if root.VectorLen(models) != 1:
        raise ValueError(f"a packed model of {root.VectorLen(models)} networks")
    model = Table(buffer, root.Indirect(root.Vector(models)))
    header, info, data = (Table(buffer, model.Indirect(_field(model, n) + model.Pos)) for n in (HEADER, INFO, DATA))
    texts = [header.String(_field(header, n) + header.Pos).decode() for n in (NAME, INFO_METHOD, MODEL_METHOD)]
    if texts[1] != texts[2]:
        raise ValueError("network and description are encrypted in different ways")
    return Packed(texts[0], texts[2], _bytes(info), _bytes(data))


def _field(table: Any, place: int) -> int:
    """Where a field of a table stands, from the table's own place."""
    offset = int(table.Offset(4 + 2 * place))
    if not offset:
        raise ValueError("a field is missing")
    return offset


def _bytes(table: Any) -> bytes:
    start, length = table.Vector(_field(table, 0)), table.VectorLen(_field(table, 0))
    return bytes(table.Bytes[start : start + length])
