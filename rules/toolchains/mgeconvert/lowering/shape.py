"""Reshaping, joining, taking apart, repeating and padding."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import megengine.functional as F
import megengine.module as M
import numpy as np

from . import decompositions
from .emission import size_of
from .primitives import Primitives
from .table import function, method, module
from .values import Operand, Unsupported, Value, constant, whole_number, whole_numbers


@function(F.reshape)
@method("reshape")
def reshape(p: Primitives, x: Value, *shape: Any) -> Value:
    """``megengine.functional.reshape`` and ``Tensor.reshape``: the latter takes the lengths one by one, too."""
    return p.reshape(x, whole_numbers(shape[0]) if len(shape) == 1 else whole_numbers(list(shape)))


@function(F.flatten)
def flatten(p: Primitives, x: Value, start_axis: int = 0, end_axis: int = -1) -> Value:
    """``megengine.functional.flatten``: the axes from one to another become one."""
    start, end = start_axis % x.ndim, end_axis % x.ndim
    return p.reshape(x, (*x.shape[:start], size_of(x.shape[start : end + 1]), *x.shape[end + 1 :]))


@method("flatten")
def flatten_method(p: Primitives, x: Value) -> Value:
    """``Tensor.flatten``: one axis is left."""
    return p.reshape(x, (-1,))


@function(F.transpose)
@method("transpose")
def transpose(p: Primitives, x: Value, *order: Any) -> Value:
    """``megengine.functional.transpose``: the axes in the given order; ``Tensor.transpose`` without one mirrors them."""
    if not order:
        return p.transpose(x, range(x.ndim)[::-1])
    wanted = order[0] if len(order) == 1 else list(order)
    if isinstance(wanted, (list, tuple)) and "x" in wanted:
        raise Unsupported('a transpose that adds axes ("x")', "functional.expand_dims")
    return p.transpose(x, whole_numbers(wanted))


@function(F.swapaxes)
def swapaxes(p: Primitives, x: Value, axis1: int, axis2: int) -> Value:
    """``megengine.functional.swapaxes``."""
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return p.transpose(x, order)


@function(F.expand_dims)
def expand_dims(p: Primitives, x: Value, axis: Any) -> Value:
    """``megengine.functional.expand_dims``: the axes are counted in the result."""
    axes = whole_numbers(axis)
    lengths = list(x.shape)
    for position in sorted(one % (x.ndim + len(axes)) for one in axes):
        lengths.insert(position, 1)
    return p.reshape(x, lengths)


@function(F.squeeze)
def squeeze(p: Primitives, x: Value, axis: Any = None) -> Value:
    """``megengine.functional.squeeze``: without axes, all of length 1."""
    if axis is None:
        return p.reshape(x, [n for n in x.shape if n != 1])
    dropped = {one % x.ndim for one in whole_numbers(axis)}
    return p.reshape(x, [n for one, n in enumerate(x.shape) if one not in dropped])


@function(F.concat)
def concat(p: Primitives, inps: Sequence[Operand], axis: int = 0, device: Any = None) -> Value:
    """``megengine.functional.concat``."""
    return p.concat([constant(value) for value in inps], whole_number(axis))


@module(M.Concat)
def concat_module(p: Primitives, own: M.Concat, inps: Sequence[Operand], axis: int = 0) -> Value:
    """``megengine.module.Concat``."""
    return concat(p, inps, axis)


@function(F.stack)
def stack(p: Primitives, inps: Sequence[Operand], axis: int = 0, device: Any = None) -> Value:
    """``megengine.functional.stack``: along a new axis."""
    values = [constant(value) for value in inps]
    position = whole_number(axis) % (values[0].ndim + 1)
    return p.concat([expand_dims(p, value, position) for value in values], position)


@function(F.split)
def split(p: Primitives, x: Value, nsplits_or_sections: Any, axis: int = 0) -> Tuple[Value, ...]:
    """``megengine.functional.split``: a number of parts, the first ones longer by one, or where to cut."""
    position = whole_number(axis) % x.ndim
    length = x.shape[position]
    if isinstance(nsplits_or_sections, (list, tuple)):
        bounds = [0, *whole_numbers(nsplits_or_sections), length]
    else:
        count = whole_number(nsplits_or_sections)
        least, longer = divmod(length, count)
        bounds = np.cumsum([0] + [least + 1] * longer + [least] * (count - longer)).tolist()
    return tuple(p.split(x, bounds, position))


@function(F.broadcast_to)
@method("_broadcast")
def broadcast_to(p: Primitives, x: Value, shape: Any) -> Value:
    """``megengine.functional.broadcast_to``: numpy's broadcasting to a given shape."""
    wanted = whole_numbers(shape)
    y = p.reshape(x, (1,) * (len(wanted) - x.ndim) + x.shape)
    for axis, length in enumerate(wanted):
        if y.shape[axis] != length:
            y = p.concat([y] * length, axis)
    return y


@function(F.repeat)
def repeat(p: Primitives, x: Value, repeats: Any, axis: Optional[int] = None) -> Value:
    """``megengine.functional.repeat``: each element so many times after itself; all flattened without an axis."""
    if axis is None:
        x, axis = p.reshape(x, (-1,)), 0
    axis, count = axis % x.ndim, whole_number(repeats, "the number of repeats")
    y = p.concat([p.reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))] * count, axis + 1)
    return p.reshape(y, (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]))


@function(F.tile)
def tile(p: Primitives, x: Value, reps: Any) -> Value:
    """``megengine.functional.tile``: the whole so many times along each axis; missing axes are put before."""
    counts = whole_numbers(reps)
    ndim = max(len(counts), x.ndim)
    x = p.reshape(x, (1,) * (ndim - x.ndim) + x.shape)
    for axis, count in enumerate((1,) * (ndim - len(counts)) + counts):
        if count > 1:
            x = p.concat([x] * count, axis)
    return x


@function(F.roll)
def roll(p: Primitives, x: Value, shift: Any, axis: Any = None) -> Value:
    """``megengine.functional.roll``: what leaves at the end comes in at the beginning."""
    if axis is None:
        return p.reshape(roll(p, p.reshape(x, (-1,)), shift, 0), x.shape)
    for by, along in zip(whole_numbers(shift), whole_numbers(axis)):
        cut = -by % x.shape[along]
        x = p.concat(p.split(x, [0, cut, x.shape[along]], along)[::-1], along) if cut else x
    return x


@function(F.nn.pad)
def pad(p: Primitives, src: Value, pad_width: Any, mode: str = "constant", constant_value: float = 0.0) -> Value:
    """``megengine.functional.nn.pad``: widths for the first axes; the others get none."""
    widths = [whole_numbers(list(pair)) for pair in pad_width]
    widths += [(0, 0)] * (src.ndim - len(widths))
    if mode.lower() == "constant":
        return p.pad(src, widths, float(constant_value))
    return pad_edges(p, src, widths, mode.lower())


def pad_edges(p: Primitives, x: Value, widths: Sequence[Tuple[int, ...]], mode: str) -> Value:
    """Padding with what lies at the edge: ``replicate`` (or ``edge``) it, or ``reflect`` what lies behind it."""
    for axis, (before, after) in enumerate(widths):
        if before or after:
            numpys = "reflect" if mode == "reflect" else "edge"
            order = np.pad(np.arange(x.shape[axis], dtype=np.int32), (before, after), mode=numpys)
            x = p.gather(x, constant(order), axis)
    return x


@module(M.Pad)
def pad_module(p: Primitives, own: M.Pad, x: Value) -> Value:
    """``megengine.module.Pad``."""
    return pad(p, x, own.pad_width, own.mode, own.pad_val)


@function(F.nn.pixel_shuffle)
def pixel_shuffle(p: Primitives, x: Value, upscale_factor: int) -> Value:
    """``megengine.functional.nn.pixel_shuffle``: (n, c r r, h, w) -> (n, c, h r, w r)."""
    n, channels, height, width = x.shape
    r = whole_number(upscale_factor)
    apart = p.reshape(x, (n * channels // (r * r), r, r, height, width))
    return p.reshape(p.transpose(apart, (0, 3, 1, 4, 2)), (n, channels // (r * r), height * r, width * r))


@module(M.PixelShuffle)
def pixel_shuffle_module(p: Primitives, own: M.PixelShuffle, x: Value) -> Value:
    """``megengine.module.PixelShuffle``."""
    return pixel_shuffle(p, x, own.upscale_factor)


@function(F.diag)
def diag(p: Primitives, inp: Value, k: int = 0) -> Value:
    """``megengine.functional.diag``: the diagonal of a matrix, or the matrix of a diagonal."""
    offset = whole_number(k)
    if inp.ndim == 2:
        rows, columns = inp.shape
        found = np.diagonal(np.arange(rows * columns).reshape(rows, columns), offset)
        return decompositions.gather_flat(p, inp, constant(found.astype(np.int32)))
    column = p.reshape(p.pad(inp, [(max(-offset, 0), max(offset, 0))], 0.0), (-1, 1))
    return p.mul(column, constant(np.eye(column.shape[0], k=offset, dtype=inp.dtype)))
