"""Operators that arrange elements anew."""

from __future__ import annotations

from typing import Any, List

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of
from .elementwise import spread


def lengths(x: Any) -> List[int]:
    """The shape as numbers."""
    return list(shape_of(x))


@operator("Reshape")
def reshape(w: Walk, n: Node) -> Any:
    """0 keeps the length of the place, unless ``allowzero`` says that it is one; -1 is what is left."""
    x, shape = w.tensor(w.input(0)), w.integers("shape", 1)
    assert shape is not None
    if not n.attribute("allowzero", 0):
        shape = [shape_of(x)[at] if length == 0 else length for at, length in enumerate(shape)]
    return F.reshape(x, tuple(shape))


@operator("Flatten")
def flatten(w: Walk, n: Node) -> Any:
    """To two axes."""
    x = w.tensor(w.input(0))
    shape, axis = lengths(x), n.attribute("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 1 and x.ndim > 1:
        return F.flatten(x, 1)
    return F.reshape(x, (int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis:], dtype=np.int64))))


@operator("Transpose")
def transpose(w: Walk, n: Node) -> Any:
    """Without an order: backwards."""
    x = w.tensor(w.input(0))
    order = n.attribute("perm", list(range(x.ndim))[::-1])
    return F.copy(x) if order == list(range(x.ndim)) else F.transpose(x, tuple(order))


@operator("Squeeze")
def squeeze(w: Walk, n: Node) -> Any:
    """Without axes: every one of length 1."""
    x = w.tensor(w.input(0))
    axes = w.integers("axes", 1)
    axes = (
        [at for at, length in enumerate(lengths(x)) if length == 1]
        if axes is None
        else [axis % x.ndim for axis in axes]
    )
    return F.reshape(x, tuple(length for at, length in enumerate(lengths(x)) if at not in axes))


@operator("Unsqueeze")
def unsqueeze(w: Walk, n: Node) -> Any:
    """The axes count in the result."""
    x, axes = w.tensor(w.input(0)), w.integers("axes", 1)
    assert axes is not None
    rank, rest = x.ndim + len(axes), iter(lengths(x))
    new = {axis % rank for axis in axes}
    return F.reshape(x, tuple(1 if at in new else next(rest) for at in range(rank)))


@operator("Concat")
def concat(w: Walk, n: Node) -> Any:
    """Along one axis."""
    parts = [w.tensor(value, f"part{at}") for at, value in enumerate(w.inputs()) if 0 not in shape_of(value)]
    return F.concat(parts, n.attribute("axis", 1)) if len(parts) > 1 else F.copy(parts[0])


@operator("Split")
def split(w: Walk, n: Node) -> Any:
    """Into the given lengths, else into parts of one length, the last one shorter."""
    x, axis = w.tensor(w.input(0)), n.attribute("axis", 0)
    sizes, count = w.integers("split", 1), len(n.outputs)
    axis, length = axis % x.ndim, shape_of(x)[axis % x.ndim]
    if not sizes:
        part = -(-length // count)
        sizes = [max(0, min(part, length - at * part)) for at in range(count)]
    parts, at = [], 0
    for size in sizes:
        cut = [slice(None)] * x.ndim
        cut[axis] = slice(at, at + size)
        parts.append(x[tuple(cut)])
        at += size
    return tuple(parts)


@operator("Expand")
def expand(w: Walk, n: Node) -> Any:
    """Spreads both ways: a length of 1 in the asked shape keeps the tensor's."""
    x, shape = w.tensor(w.input(0)), w.integers("shape", 1)
    assert shape is not None
    wanted = np.broadcast_shapes(tuple(lengths(x)), tuple(shape))
    if len(wanted) > x.ndim:
        x = F.reshape(x, (*[1] * (len(wanted) - x.ndim), *lengths(x)))
    return F.copy(x) if lengths(x) == list(wanted) else spread(x, wanted)


@operator("Tile")
def tile(w: Walk, n: Node) -> Any:
    """Every axis as often as the repeats say."""
    x, times = w.tensor(w.input(0)), w.known(1, "the repeats")
    repeats = [int(each) for each in np.reshape(times, -1)]
    for axis, count in enumerate(repeats):
        if count > 1:
            x = F.concat([x] * count, axis)
        elif count < 1:
            raise Unsupported("a result without elements")
    return x


@operator("Pad")
def pad(w: Walk, n: Node) -> Any:
    """Modes of MegEngine are these; a negative number cuts off."""
    x, mode = w.tensor(w.input(0)), n.attribute("mode", "constant")
    given = w.integers("pads", 1)
    assert given is not None
    named = w.known(3, "the axes")
    axes = list(range(x.ndim)) if named is None else [int(axis) % x.ndim for axis in np.reshape(named, -1)]
    value = n.attribute("value", 0.0) if n.opset < 11 else w.known(2, "the value")
    value = 0.0 if value is None or np.size(value) == 0 else float(np.reshape(value, ()))
    wide = [(0, 0)] * x.ndim
    for at, axis in enumerate(axes):
        wide[axis] = (given[at], given[at + len(axes)])
    cut = tuple(slice(max(0, -b), length - max(0, -a)) for (b, a), length in zip(wide, lengths(x)))
    x = x[cut] if any(number < 0 for pair in wide for number in pair) else x
    wide = [(max(0, before), max(0, after)) for before, after in wide]
    if not any(map(any, wide)):
        return F.copy(x)
    if mode == "constant":
        return F.nn.pad(x, tuple(wide), "constant", value)
    return _mirrored(x, wide, mode)


def _mirrored(x: Any, wide: Any, mode: str) -> Any:
    """By the places that the elements come from, axis by axis."""
    names = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    for axis, (before, after) in enumerate(wide):
        if before or after:
            places = np.pad(np.arange(shape_of(x)[axis]), (before, after), names[mode])
            cuts = [slice(None)] * x.ndim
            parts = []
            for first, last, step in _runs(places):
                cuts[axis] = slice(first, last + step if last + step >= 0 else None, step)
                parts.append(x[tuple(cuts)])
            x = F.concat(parts, axis)
    return x


def _runs(places: Any) -> Any:
    """Stretches of places that follow each other upwards or downwards: (first, last, step)."""
    at, found = 0, []
    while at < len(places):
        end, step = at, 0
        while end + 1 < len(places) and abs(int(places[end + 1] - places[end])) == 1:
            if step and places[end + 1] - places[end] != step:
                break
            step = int(places[end + 1] - places[end])
            end += 1
        found.append((int(places[at]), int(places[end]), step or 1))
        at = end + 1
    return found


@operator("DepthToSpace")
def depth_to_space(w: Walk, n: Node) -> Any:
    """``CRD`` is MegEngine's pixel shuffle; ``DCR`` has the block before the channels."""
    x, block = w.tensor(w.input(0)), n.attribute("blocksize")
    batch, channels, height, width = lengths(x)
    if n.attribute("mode", "DCR") == "CRD":
        return F.nn.pixel_shuffle(x, block)
    y = F.reshape(x, (batch, block, block, channels // block**2, height, width))
    y = F.transpose(y, (0, 3, 4, 1, 5, 2))
    return F.reshape(y, (batch, channels // block**2, height * block, width * block))


@operator("SpaceToDepth")
def space_to_depth(w: Walk, n: Node) -> Any:
    """The block before the channels."""
    x, block = w.tensor(w.input(0)), n.attribute("blocksize")
    batch, channels, height, width = lengths(x)
    y = F.reshape(x, (batch, channels, height // block, block, width // block, block))
    y = F.transpose(y, (0, 3, 5, 1, 2, 4))
    return F.reshape(y, (batch, channels * block**2, height // block, width // block))


@operator("Trilu")
def triangle(w: Walk, n: Node) -> Any:
    """By a mask."""
    x, k = w.tensor(w.input(0)), w.known(1, "the diagonal")
    rows, columns = lengths(x)[-2:]
    full = np.ones((rows, columns), np.float32)
    k = 0 if k is None else int(np.reshape(k, ()))
    mask = np.triu(full, k) if n.attribute("upper", 1) else np.tril(full, k)
    return x * w.tensor(mask.astype(np.dtype(x.dtype).name), "mask")
