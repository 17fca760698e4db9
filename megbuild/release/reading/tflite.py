"""TensorFlow Lite, read from its flatbuffer: operators with their tensors, tensors with the digest of their values.

Field numbers are those of schema.fbs of TensorFlow 2.14.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION
LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH
CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR
ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND
COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
"""
"""The builtin operators in the order of their numbers."""
_OPERATORS = _NAMES.split()


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer: the whole file, and where the table begins in it."""

    file: bytes
    at: int

    def _field(self, number: int) -> int:
        """Where a field's value stands; 0 when the table has none."""
        layout = self.at - _int(self.file, self.at)
        size = _short(self.file, layout)
        entry = 4 + 2 * number
        found = _short(self.file, layout + entry) if entry < size else 0
        return self.at + found if found else 0

    def number(self, number: int, form: str = "<i", default: int = 0) -> int:
        """A number."""
        where = self._field(number)
        return int(struct.unpack_from(form, self.file, where)[0]) if where else default

    def _vector(self, number: int) -> tuple[int, int]:
        where = self._field(number)
        if not where:
            return 0, 0
        start = where + _int(self.file, where)
        return start + 4, _int(self.file, start)

    def tables(self, number: int) -> list[_Table]:
        """A vector of tables."""
        start, count = self._vector(number)
        places = [start + 4 * index for index in range(count)]
        return [_Table(self.file, place + _int(self.file, place)) for place in places]

    def numbers(self, number: int) -> list[int]:
        """A vector of numbers."""
        start, count = self._vector(number)
        return list(struct.unpack_from(f"<{count}i", self.file, start))

    def content(self, number: int) -> bytes:
        """A vector of bytes."""
        start, count = self._vector(number)
        return self.file[start : start + count]

    def text(self, number: int) -> str:
        """A text."""
        return self.content(number).decode("utf-8", "backslashreplace")


def lines(content: bytes) -> Iterator[str]:
    """Every part of the model in its order."""
    model = _model(content)
    names = _names(model)
    buffers = [buffer.content(0) for buffer in model.tables(4)]
    yield f"version {model.number(0)} description {model.text(3)}"
    for graph in model.tables(2):
        yield f"graph {graph.text(4)} inputs {graph.numbers(1)} outputs {graph.numbers(2)}"
        for index, tensor in enumerate(graph.tables(0)):
            values = buffers[tensor.number(2, "<I")]
            digest = f" values {hashlib.sha256(values).hexdigest()[:16]}" if values else ""
            shown = f"shape {tensor.numbers(0)} type {tensor.number(1, '<b')}"
            yield f"tensor {index} {tensor.text(3)} {shown}{digest}"
        for operator in graph.tables(3):
            name = names[operator.number(0, "<I")]
            yield f"operator {name} {operator.numbers(1)} -> {operator.numbers(2)}"


def operators(content: bytes) -> Iterator[str]:
    """The name of every operator."""
    model = _model(content)
    names = _names(model)
    for graph in model.tables(2):
        for operator in graph.tables(3):
            yield names[operator.number(0, "<I")]


def _model(content: bytes) -> _Table:
    if content[4:8] != b"TFL3":
        raise ValueError("not TensorFlow Lite")
    return _Table(content, _int(content, 0))


def _names(model: _Table) -> list[str]:
    names = []
    for code in model.tables(1):
        number = max(code.number(0, "<b"), code.number(3))
        known = _OPERATORS[number] if number < len(_OPERATORS) else f"BUILTIN_{number}"
        names.append(code.text(1) if known == "CUSTOM" else known)
    return names


def _int(file: bytes, at: int) -> int:
    return int(struct.unpack_from("<i", file, at)[0])


def _short(file: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", file, at)[0])
