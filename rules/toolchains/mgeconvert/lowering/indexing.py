"""Indexing with slices, integers and arrays of integers, embeddings and one-hot codes."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import megengine.functional as F
import megengine.module as M
import numpy as np

from . import decompositions
from .emission import size_of
from .primitives import Primitives
from .table import function, method, module
from .values import Operand, Unsupported, Value, constant, whole_number


@method("__getitem__")
def getitem(p: Primitives, x: Value, index: Any) -> Value:
    """``Tensor.__getitem__`` is numpy's: slices, then integers, then arrays together."""
    entries = _entries(x, index)
    y, arrays, dropped = x, {}, []
    for axis, entry in enumerate(entry for entry in entries if entry is not None):
        if isinstance(entry, slice):
            y = p.slice(y, axis, *(_end(end) for end in (entry.start, entry.stop, entry.step)))
        elif _is_number(entry):
            position = whole_number(entry) % x.shape[axis]
            y = p.slice(y, axis, position, position + 1)
            dropped.append(axis)
        else:
            arrays[axis] = _indices(p, entry, x.shape[axis])
    if arrays:
        if any(entry is None for entry in entries):
            raise Unsupported("an index of arrays together with None", "functional.expand_dims for the new axis")
        return _gather(p, y, arrays, dropped)
    lengths = iter([y.shape[axis] for axis in range(y.ndim) if axis not in dropped])
    return p.reshape(y, [1 if new else next(lengths) for new in _new_axes(entries, dropped)])


def _entries(x: Value, index: Any) -> List[Any]:
    """One entry for each axis, and None where there is a new one; the ellipsis written out."""
    entries = list(index) if isinstance(index, (tuple,)) else [index]
    if any(_is_mask(entry) for entry in entries):
        raise Unsupported("an index of booleans, whose result has no fixed shape", "functional.where")
    given = sum(entry is not None and entry is not Ellipsis for entry in entries)
    place = next((i for i, entry in enumerate(entries) if entry is Ellipsis), len(entries))
    rest = [slice(None)] * (x.ndim - given)
    return entries[:place] + rest + entries[place + 1 :]


def _is_mask(entry: Any) -> bool:
    if isinstance(entry, Value):
        return entry.dtype.kind == "b"
    return isinstance(entry, (bool, np.ndarray, list)) and np.asarray(entry).dtype.kind == "b"


def _is_number(entry: Any) -> bool:
    if isinstance(entry, Value):
        return entry.ndim == 0 and entry.constant
    return np.ndim(entry) == 0


def _end(end: Any) -> Optional[int]:
    return None if end is None else whole_number(end, "the end of a slice")


def _indices(p: Primitives, entry: Any, length: int) -> Value:
    """Indices as int32; constant ones counted from the beginning."""
    value = constant(entry if isinstance(entry, Value) else np.asarray(entry, np.int32))
    return constant(value.array.astype(np.int32) % length) if value.constant else p.cast(value, np.int32)


def _new_axes(entries: Sequence[Any], dropped: Sequence[int]) -> List[bool]:
    """For each axis of the result, whether it is new."""
    found, axis = [], 0
    for entry in entries:
        if entry is None:
            found.append(True)
        else:
            if axis not in dropped:
                found.append(False)
            axis += 1
    return found


def _gather(p: Primitives, x: Value, arrays: Any, dropped: Sequence[int]) -> Value:
    """numpy's advanced indexing: the arrays' axes become one, at the first of them if they are neighbours, else in front.

    An integer counts as an array without dimensions when there are arrays.
    """
    axes = sorted([*arrays, *dropped])
    together = axes == list(range(axes[0], axes[-1] + 1))
    for axis in dropped:
        arrays[axis] = constant(np.int32(0))
    others = [axis for axis in range(x.ndim) if axis not in axes]
    before = [axis for axis in others if together and axis < axes[0]]
    behind = others[len(before) :]
    x = p.transpose(x, (*before, *axes, *behind))
    start, lengths = len(before), [x.shape[len(before) + i] for i in range(len(axes))]
    flat = p.reshape(x, (*x.shape[:start], size_of(tuple(lengths)), *x.shape[start + len(axes) :]))
    place: Operand = np.int32(0)
    for axis, length in zip(axes, lengths):
        place = arrays[axis] if _is_zero(place) else p.add(p.mul(place, np.int32(length)), arrays[axis])
    return p.gather(flat, constant(place), start)


def _is_zero(place: Operand) -> bool:
    return isinstance(place, np.int32) and place == 0


@method("__setitem__")
def setitem(p: Primitives, x: Value, index: Any, value: Operand) -> Value:
    """``Tensor.__setitem__`` with slices and integers: the parts around stay, the new one comes between them."""
    spans: List[Tuple[int, int]] = []
    shape: List[int] = []
    for axis, entry in enumerate(_entries(x, index)):
        if entry is None or not (isinstance(entry, slice) or _is_number(entry)):
            raise Unsupported("an assignment to an index of arrays", "functional.where")
        if isinstance(entry, slice):
            positions = range(*slice(_end(entry.start), _end(entry.stop), _end(entry.step)).indices(x.shape[axis]))
            if positions.step != 1:
                raise Unsupported("an assignment to a slice with a step", "functional.where")
            spans.append((positions.start, positions.stop))
            shape.append(len(positions))
        else:
            position = whole_number(entry) % x.shape[axis]
            spans.append((position, position + 1))
    part = p.cast(constant(value if isinstance(value, Value) else np.asarray(value, x.dtype)), x.dtype)
    full = tuple(stop - start for start, stop in spans)
    part = _broadcast(p, part, tuple(shape), full)
    return _put(p, x, part, spans, 0)


def _broadcast(p: Primitives, part: Value, shape: Tuple[int, ...], full: Tuple[int, ...]) -> Value:
    from .shape import broadcast_to

    return p.reshape(broadcast_to(p, part, shape) if part.shape != shape else part, full)


def _put(p: Primitives, x: Value, part: Value, spans: Sequence[Tuple[int, int]], axis: int) -> Value:
    """``x`` with ``part`` in the spans of the axes from ``axis`` on."""
    if axis == x.ndim:
        return part
    (start, stop), length = spans[axis], x.shape[axis]
    middle = _put(p, p.slice(x, axis, start, stop), part, spans, axis + 1)
    pieces = [p.slice(x, axis, 0, start)] if start else []
    pieces.append(middle)
    pieces += [p.slice(x, axis, stop, length)] if stop < length else []
    return pieces[0] if len(pieces) == 1 else p.concat(pieces, axis)


@function(F.gather)
def gather(p: Primitives, inp: Value, axis: int, index: Value) -> Value:
    """``megengine.functional.gather``: out[i][j] = inp[index[i][j]][j] for axis 0."""
    axis = whole_number(axis) % inp.ndim
    own = decompositions.positions((*index.shape[:axis], inp.shape[axis], *index.shape[axis + 1 :]), axis)
    if (*index.shape[:axis], *index.shape[axis + 1 :]) != (*inp.shape[:axis], *inp.shape[axis + 1 :]):
        raise Unsupported(
            "a gather with fewer indices than the value has on another axis", "an index of the value's shape"
        )
    own = np.repeat(np.take(own, [0], axis=axis), index.shape[axis], axis=axis)
    stride = decompositions.stride_of(inp.shape, axis)
    place = p.add(p.mul(p.cast(index, np.int32), np.int32(stride)), constant(own))
    return decompositions.gather_flat(p, inp, place)


@function(F.nn.indexing_one_hot)
def indexing_one_hot(p: Primitives, src: Value, index: Value, axis: int = 1, keepdims: bool = False) -> Value:
    """``megengine.functional.nn.indexing_one_hot``: the one element on an axis that the index names."""
    position = whole_number(axis) % src.ndim
    picked = gather(p, src, position, p.reshape(index, [*index.shape[:position], 1, *index.shape[position:]]))
    return picked if keepdims else p.reshape(picked, index.shape)


@function(F.nn.embedding)
def embedding(
    p: Primitives,
    inp: Value,
    weight: Operand,
    padding_idx: Optional[int] = None,
    max_norm: Optional[float] = None,
    norm_type: Optional[float] = None,
) -> Value:
    """``megengine.functional.nn.embedding``: the rows of the weight that the input names."""
    return p.gather(constant(weight), p.cast(inp, np.int32), 0)


@module(M.Embedding)
def embedding_module(p: Primitives, own: M.Embedding, inp: Value) -> Value:
    """``megengine.module.Embedding``."""
    return embedding(p, inp, own.weight)


@function(F.nn.one_hot)
def one_hot(p: Primitives, inp: Value, num_classes: int) -> Value:
    """``megengine.functional.nn.one_hot``: a row of zeros with a one, for each class index, in its type."""
    rows = np.eye(whole_number(num_classes), dtype=inp.dtype)
    return p.gather(constant(rows), p.cast(inp, np.int32), 0)
