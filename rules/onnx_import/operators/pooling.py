"""Pooling over one to three axes, with the paddings and roundings that MegEngine's own lacks."""

from __future__ import annotations

import itertools
from typing import Any, List, Sequence, Tuple

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of
from .convolution import Pads, even, padded, pads_of

LOWEST = float(np.finfo(np.float32).min)


@operator("GlobalAveragePool")
def global_average(w: Walk, n: Node) -> Any:
    """The mean over all axes but batch and channel."""
    x = w.tensor(w.input(0))
    return F.adaptive_avg_pool2d(x, 1) if x.ndim == 4 else F.mean(x, list(range(2, x.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def global_max(w: Walk, n: Node) -> Any:
    """The largest over all axes but batch and channel."""
    x = w.tensor(w.input(0))
    return F.adaptive_max_pool2d(x, 1) if x.ndim == 4 else F.max(x, list(range(2, x.ndim)), keepdims=True)


@operator("MaxPool")
def max_pool(w: Walk, n: Node) -> Any:
    """Padding never wins."""
    if any(n.outputs[1:]):
        raise Unsupported("the places of the largest elements are asked for")
    x = w.tensor(w.input(0))
    if np.dtype(x.dtype).kind != "f":
        return _whole(x, n)
    kernel, strides, dilations, pads = _windows(n, x)
    x, pad = even(x, pads, LOWEST)
    if any(size != 1 for size in dilations):
        return _by_slices(padded(x, [(p, p) for p in pad], LOWEST), kernel, strides, dilations)
    return _by_planes(x, kernel, strides, pad, F.max_pool2d)


def _whole(x: Any, n: Node) -> Any:
    """Of integers: as floats, which hold them exactly up to 2^24."""
    kernel, strides, dilations, pads = _windows(n, x)
    y = padded(x.astype("float32"), pads, LOWEST)
    return _by_slices(y, kernel, strides, dilations).astype(x.dtype)


@operator("AveragePool")
def average_pool(w: Walk, n: Node) -> Any:
    """Over what lies inside, or with ``count_include_pad`` over the padding too, but never over what rounding up adds."""
    x = w.tensor(w.input(0))
    kernel, strides, dilations, pads = _windows(n, x)
    counted = bool(n.attribute("count_include_pad", 0))
    own = pads_of(n, _lengths(x), kernel, strides, dilations)
    if dilations == [1] * len(kernel) and pads == own and all(before == after for before, after in pads):
        mode = "average" if counted or not any(map(any, pads)) else "average_count_exclude_padding"
        if counted or len(kernel) < 3 or not any(map(any, pads)):

            def mean(*given: Any) -> Any:
                return F.avg_pool2d(*given, mode=mode)

            return _by_planes(x, kernel, strides, [before for before, _ in pads], mean)
    inside = _counts(_lengths(x), kernel, strides, dilations, pads, own if counted else [(0, 0)] * len(own))
    x = padded(x, pads)
    if dilations == [1] * len(kernel):

        def plain(*given: Any) -> Any:
            return F.avg_pool2d(*given, mode="average")

        mean_, share = _by_planes(x, kernel, strides, [0] * len(kernel), plain), float(np.prod(kernel)) / inside
    else:
        mean_, share = _by_slices(x, kernel, strides, dilations, "add"), 1.0 / inside
    return mean_ * w.operand(share.astype(np.float32), "share")


@operator("LpPool")
def lp_pool(w: Walk, n: Node) -> Any:
    """The p-norm of each window."""
    x, p = w.tensor(w.input(0)), float(n.attribute("p", 2))
    kernel, strides, dilations, pads = _windows(n, x)
    power = F.pow(F.abs(padded(x, pads)), p)
    return F.pow(_by_slices(power, kernel, strides, dilations, "add"), 1.0 / p)


@operator("GlobalLpPool")
def global_lp_pool(w: Walk, n: Node) -> Any:
    """The p-norm over all axes but batch and channel."""
    x, p = w.tensor(w.input(0)), float(n.attribute("p", 2))
    return F.pow(F.sum(F.pow(F.abs(x), p), list(range(2, x.ndim)), keepdims=True), 1.0 / p)


def _lengths(x: Any) -> List[int]:
    return list(shape_of(x)[2:])


def _windows(n: Node, x: Any) -> Tuple[List[int], List[int], List[int], Pads]:
    """Kernel, strides, dilations and the pads with what rounding up adds behind."""
    kernel = list(n.attribute("kernel_shape"))
    rank = len(kernel)
    strides, dilations = list(n.attribute("strides", [1] * rank)), list(n.attribute("dilations", [1] * rank))
    pads = pads_of(n, _lengths(x), kernel, strides, dilations)
    if n.attribute("ceil_mode", 0):
        for axis, (length, size, step, apart) in enumerate(zip(_lengths(x), kernel, strides, dilations)):
            before, after = pads[axis]
            reach = (size - 1) * apart + 1
            out = -(-(length + before + after - reach) // step) + 1
            out -= (out - 1) * step >= length + before  # a window that lies wholly in the padding is left out
            pads[axis] = (before, max(after, (out - 1) * step + reach - length - before))
    return kernel, strides, dilations, pads


def _by_planes(x: Any, kernel: Sequence[int], strides: Sequence[int], pad: Sequence[int], pool: Any) -> Any:
    """A pooling of two axes over one to three: the third axis afterwards, by itself."""
    if len(kernel) == 2:
        return pool(x, tuple(kernel), tuple(strides), tuple(pad))
    if len(kernel) == 1:
        return F.squeeze(pool(F.expand_dims(x, 2), (1, kernel[0]), (1, strides[0]), (0, pad[0])), 2)
    if len(kernel) != 3:
        raise Unsupported(f"pooling over {len(kernel)} axes")
    batch, channels, depth, *plane = shape_of(x)
    y = pool(F.reshape(x, (batch, channels * depth, *plane)), tuple(kernel[1:]), tuple(strides[1:]), tuple(pad[1:]))
    plane = list(shape_of(y)[2:])
    y = F.reshape(y, (batch, channels, depth, plane[0] * plane[1]))
    y = pool(y, (kernel[0], 1), (strides[0], 1), (pad[0], 0))
    return F.reshape(y, (batch, channels, shape_of(y)[2], *plane))


def _by_slices(
    x: Any, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], merge: str = "maximum"
) -> Any:
    """One slice of the (padded) tensor for each place of the window, merged one after another."""
    outs = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(_lengths(x), kernel, strides, dilations)]
    total = None
    for place in itertools.product(*map(range, kernel)):
        cut = [slice(p * d, p * d + (out - 1) * s + 1, s) for p, d, s, out in zip(place, dilations, strides, outs)]
        part = x[(slice(None), slice(None), *cut)]
        total = part if total is None else getattr(F, merge)(total, part)
    return total


def _counts(
    lengths: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Pads,
    own: Pads,
) -> Any:
    """How many elements of each window count: those of the tensor and of its ``own`` padding."""
    total = np.ones([1, 1] + [1] * len(kernel))
    for axis, (length, size, step, apart, (before, after), (first, last)) in enumerate(
        zip(lengths, kernel, strides, dilations, pads, own)
    ):
        out = (length + before + after - (size - 1) * apart - 1) // step + 1
        starts = np.arange(out)[:, None] * step + np.arange(size)[None] * apart - before
        inside = ((starts >= -first) & (starts < length + last)).sum(1)
        total = total * inside.reshape([-1 if at == axis + 2 else 1 for at in range(len(kernel) + 2)])
    return total
