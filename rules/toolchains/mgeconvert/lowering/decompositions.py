"""Primitives made of other primitives, for the formats that do not have them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Tuple

import numpy as np
from megengine import Tensor

from . import arithmetic
from .emission import size_of
from .values import Array, Shape, Value, constant, number

if TYPE_CHECKING:
    from .primitives import Primitives


def erf(p: Primitives, x: Value) -> Value:
    """Abramowitz and Stegun 7.1.26: off by less than 1.5e-7. The sign comes from x / (|x| + tiny)."""
    size = p.unary("abs", x)
    t = p.unary("reciprocal", p.add(p.mul(size, number(0.3275911)), number(1.0)))
    series = number(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = p.add(p.mul(series, t), number(factor))
    decay = p.unary("exp", p.unary("neg", p.mul(x, x)))
    positive = p.sub(number(1.0), p.mul(p.mul(series, t), decay))
    return p.mul(positive, p.div(x, p.add(size, number(1e-30))))


def cumulate(p: Primitives, x: Value, axis: int) -> Value:
    """A product with a triangle of ones."""
    ones = np.tril(np.ones((x.shape[axis], x.shape[axis]), np.float32))
    return (
        along(p, p.cast(x, np.float32), axis, ones)
        if x.dtype.kind == "f"
        else p.cast(along(p, p.cast(x, np.float32), axis, ones), x.dtype)
    )


def along(p: Primitives, x: Value, axis: int, matrix: Array) -> Value:
    """``matrix`` (out, in) applied to one axis."""
    last = x.ndim - 1
    order = [last if other == axis else axis if other == last else other for other in range(x.ndim)]
    return p.transpose(p.linear(p.transpose(x, order), matrix, None), order)


def groups(
    p: Primitives, x: Value, weight: Array, bias: Optional[Array], count: int
) -> Iterator[Tuple[Value, Array, Optional[Array]]]:
    """Each group of a transposed convolution as one of its own: its input, weight and bias."""
    channels, outputs = x.shape[1] // count, weight.shape[1]
    for group, part in enumerate(p.split(x, range(0, x.shape[1] + 1, channels), 1)):
        own = None if bias is None else bias[group * outputs : (group + 1) * outputs]
        yield part, weight[group * channels : (group + 1) * channels], own


def convolution(
    p: Primitives,
    x: Value,
    weight: Array,
    bias: Optional[Array],
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
) -> Value:
    """One axis: two, of which one has length 1. Three axes: the slices along the first become channels of two axes."""
    if weight.ndim == 3:
        flat = p.reshape(x, (*x.shape[:2], 1, x.shape[2]))
        sizes = ((1, *stride), (0, *padding), (1, *dilation))
        y = p.convolution(flat, weight[:, :, np.newaxis], bias, *sizes, groups)
        return p.reshape(y, (y.shape[0], y.shape[1], y.shape[3]))
    n, channels, depth, height, width = x.shape
    x = p.pad(x, [(0, 0), (0, 0), (padding[0], padding[0]), (0, 0), (0, 0)], 0.0)
    reach = dilation[0] * (weight.shape[2] - 1)
    steps = (depth + 2 * padding[0] - reach - 1) // stride[0] + 1
    x = p.transpose(x, (0, 2, 1, 3, 4))
    slices: List[Value] = []
    for first in range(0, reach + 1, dilation[0]):
        part = p.slice(x, 1, first, first + (steps - 1) * stride[0] + 1, stride[0])
        slices.append(p.reshape(part, (n * steps, channels, 1, height * width)))
    # (n * steps, channels, kernel depth, height * width): the channels of a group stay together.
    flat = p.reshape(p.concat(slices, 2), (n * steps, channels * len(slices), height, width))
    kernel = weight.reshape(weight.shape[0], weight.shape[1] * weight.shape[2], *weight.shape[3:])
    y = p.convolution(flat, kernel, bias, stride[1:], padding[1:], dilation[1:], groups)
    return p.transpose(p.reshape(y, (n, steps, *y.shape[1:])), (0, 2, 1, 3, 4))


def deconvolution(
    p: Primitives,
    x: Value,
    weight: Array,
    bias: Optional[Array],
    stride: Shape,
    padding: Shape,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
) -> Value:
    """The convolution with the mirrored kernel of the input with zeros between its elements."""
    rank = weight.ndim - 2
    for axis, step in enumerate(stride, start=2):
        if step > 1:
            shape = x.shape
            apart = p.reshape(x, (size_of(shape[: axis + 1]), 1, size_of(shape[axis + 1 :])))
            apart = p.pad(apart, [(0, 0), (0, step - 1), (0, 0)], 0.0)
            spread = p.reshape(apart, (*shape[:axis], shape[axis] * step, *shape[axis + 1 :]))
            x = p.slice(spread, axis, 0, (shape[axis] - 1) * step + 1)
    widths = [(0, 0), (0, 0)]
    for kernel, spread_by, pad, extra in zip(weight.shape[2:], dilation, padding, output_padding):
        reach = spread_by * (kernel - 1) - pad
        widths.append((reach, reach + extra))
    x = p.pad(x, widths, 0.0)
    split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    mirrored = np.flip(split.swapaxes(1, 2), tuple(range(3, 3 + rank)))
    kernels = np.ascontiguousarray(mirrored.reshape(-1, *mirrored.shape[2:]))
    return p.convolution(x, kernels, bias, (1,) * rank, (0,) * rank, dilation, groups)


def exclusive_average(p: Primitives, x: Value, kernel: Shape, stride: Shape, padding: Shape) -> Value:
    """The average over all, times how much more it should be where the window covers padding."""
    covered = arithmetic.pool("mean", Tensor(np.ones((1, 1, *x.shape[2:]), np.float32)), kernel, stride, padding, False)
    return p.mul(p.pool("mean", x, kernel, stride, padding), constant(1.0 / covered.numpy()))


def resize(p: Primitives, x: Value, size: Shape, kind: str, align_corners: bool) -> Value:
    """A product along the width, then one along the height: the maps are read off MegEngine's answer to unit vectors."""
    for axis in (3, 2):
        x = resize_one(p, x, axis, size[axis - 2], kind, align_corners)
    return x


def resize_one(p: Primitives, x: Value, axis: int, length: int, kind: str, align_corners: bool) -> Value:
    """One axis of a value, to another length."""
    return x if x.shape[axis] == length else along(p, x, axis, _resizing(x.shape[axis], length, kind, align_corners))


def _resizing(length: int, wanted: int, kind: str, align_corners: bool) -> Array:
    """The (wanted, length) matrix of a resize of one axis; the other axis is 2, because 1 divides by zero."""
    units = np.repeat(np.eye(length, dtype=np.float32).reshape(length, 1, 1, length), 2, axis=2)
    if wanted == 1 and align_corners:
        return units[:1, 0, 0]
    resized = arithmetic.resize(Tensor(units), (2, wanted), kind, align_corners).numpy()
    return np.ascontiguousarray(resized[:, 0, 0].T)


def gather_flat(p: Primitives, x: Value, indices: Any) -> Value:
    """``x.reshape(-1)[indices]``."""
    return p.gather(p.reshape(x, (-1,)), indices, 0)


def positions(shape: Shape, axis: int) -> Array:
    """For each element of ``shape``, its position in memory if its index on ``axis`` were 0, as int32."""
    strides = [size_of(shape[other + 1 :]) for other in range(len(shape))]
    grids = np.indices(shape, sparse=True)
    total = sum(grids[other] * strides[other] for other in range(len(shape)) if other != axis)
    return np.broadcast_to(np.asarray(total), shape).astype(np.int32)


def stride_of(shape: Shape, axis: int) -> int:
    """How far apart in memory neighbours on an axis are."""
    return size_of(shape[axis + 1 :])


def runs(indices: Array) -> List[Tuple[int, int]]:
    """Neighbouring indices that count up, as start and stop: [4, 5, 6, 1] is (4, 7), (1, 2)."""
    pieces = itertools.groupby(enumerate(indices.tolist()), key=lambda item: item[1] - item[0])
    found = [[index for _, index in piece] for _, piece in pieces]
    return [(piece[0], piece[-1] + 1) for piece in found]


def gelu(p: Primitives, x: Value) -> Value:
    """x / 2 (1 + erf(x / sqrt 2))."""
    return p.mul(p.mul(x, number(0.5)), p.add(p.erf(p.mul(x, number(1 / math.sqrt(2)))), number(1.0)))


def softplus(p: Primitives, x: Value) -> Value:
    """relu(x) + log(1 + exp(-|x|))."""
    decay = p.unary("exp", p.unary("neg", p.unary("abs", x)))
    return p.add(p.unary("relu", x), p.unary("log", p.add(decay, number(1.0))))
