"""Pooling over windows, and resizing of images."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import megengine.module as M
import numpy as np

from . import decompositions
from .primitives import Primitives
from .table import function, module
from .values import Unsupported, Value, spread


@function(F.max_pool2d)
def max_pool(p: Primitives, x: Value, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Value:
    """``megengine.functional.max_pool2d``: padding is never the maximum."""
    kernel = spread(kernel_size, 2)
    return p.pool("max", x, kernel, kernel if stride is None else spread(stride, 2), spread(padding, 2))


@function(F.avg_pool2d)
def avg_pool(
    p: Primitives,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    mode: str = "average_count_exclude_padding",
) -> Value:
    """``megengine.functional.avg_pool2d``: the mode says whether padding counts."""
    kernel = spread(kernel_size, 2)
    steps = kernel if stride is None else spread(stride, 2)
    return p.pool("mean", x, kernel, steps, spread(padding, 2), exclusive="exclude" in mode.lower())


@module(M.MaxPool2d)
def max_pool_module(p: Primitives, own: M.MaxPool2d, x: Value) -> Value:
    """``megengine.module.MaxPool2d``."""
    return max_pool(p, x, own.kernel_size, own.stride or None, own.padding)


@module(M.AvgPool2d)
def avg_pool_module(p: Primitives, own: M.AvgPool2d, x: Value) -> Value:
    """``megengine.module.AvgPool2d``."""
    return avg_pool(p, x, own.kernel_size, own.stride or None, own.padding, own.mode)


def _adaptive(p: Primitives, kind: str, x: Value, size: Any) -> Value:
    """MegEngine's windows are all of one size, and so far apart as the lengths divide; other libraries' differ."""
    lengths, wanted = x.shape[2:], spread(size, 2)
    if wanted == (1, 1):
        return p.reduce(kind, x, [2, 3], True)
    stride = tuple(length // out for length, out in zip(lengths, wanted))
    kernel = tuple(length - (out - 1) * step for length, out, step in zip(lengths, wanted, stride))
    return p.pool(kind, x, kernel, stride, (0, 0))


@function(F.adaptive_avg_pool2d)
def adaptive_avg_pool(p: Primitives, x: Value, oshp: Any) -> Value:
    """``megengine.functional.adaptive_avg_pool2d``."""
    return _adaptive(p, "mean", x, oshp)


@function(F.adaptive_max_pool2d)
def adaptive_max_pool(p: Primitives, x: Value, oshp: Any) -> Value:
    """``megengine.functional.adaptive_max_pool2d``."""
    return _adaptive(p, "max", x, oshp)


@module(M.AdaptiveAvgPool2d)
def adaptive_avg_pool_module(p: Primitives, own: M.AdaptiveAvgPool2d, x: Value) -> Value:
    """``megengine.module.AdaptiveAvgPool2d``."""
    return adaptive_avg_pool(p, x, own.oshp)


@module(M.AdaptiveMaxPool2d)
def adaptive_max_pool_module(p: Primitives, own: M.AdaptiveMaxPool2d, x: Value) -> Value:
    """``megengine.module.AdaptiveMaxPool2d``."""
    return adaptive_max_pool(p, x, own.oshp)


@function(F.vision.interpolate)
def interpolate(
    p: Primitives,
    x: Value,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "bilinear",
    align_corners: Any = None,
) -> Value:
    """``megengine.functional.vision.interpolate``: a size, or factors that the lengths are multiplied with."""
    mode = mode.lower()
    if mode == "linear":
        return _linear_interpolate(p, x, size, scale_factor, bool(align_corners))
    if mode == "trilinear":
        raise Unsupported("trilinear interpolation", "bilinear over two axes, then linear over the third")
    if size is None:
        factors = scale_factor if isinstance(scale_factor, (list, tuple)) else (scale_factor,) * 2
        size = [int(np.floor(np.float32(n * float(factor)))) for n, factor in zip(x.shape[2:], factors)]
    elif not isinstance(size, Value) and np.ndim(size) == 0:
        size = (size, 1)  # as MegEngine takes it
    return p.resize(x, spread(size, 2), mode, bool(align_corners))


def _linear_interpolate(p: Primitives, x: Value, size: Any, factor: Any, align_corners: bool) -> Value:
    """The one axis of length, as the height of an image of width 1."""
    length = int(np.floor(np.float32(x.shape[2] * float(factor)))) if size is None else spread(size, 1)[0]
    if align_corners:
        raise Unsupported("linear interpolation with aligned corners", "align_corners=False")
    return decompositions.resize_one(p, x, 2, length, "bilinear", align_corners)
