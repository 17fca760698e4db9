"""Convolutions and transposed convolutions over one to three axes, with what is fused to them."""

from __future__ import annotations

from typing import Any, Optional

import megengine.functional as F
import megengine.module as M
import numpy as np

from .normalisation import affine_of
from .primitives import Primitives
from .shape import pad_edges
from .table import CONVOLUTIONS, function, module
from .values import Array, Operand, Unsupported, Value, known, spread


def _kernel(weight: Operand, groups: int, rank: int) -> Array:
    """MegEngine keeps the groups on an axis of their own, before the others."""
    array = known(weight, "the kernel")
    return array.reshape(-1, *array.shape[2:]) if array.ndim == rank + 3 else array


def _vector(array: Optional[Operand], what: str = "the bias") -> Optional[Array]:
    return None if array is None else known(array, what).reshape(-1)


def _convolution(rank: int) -> Any:
    def lower(
        p: Primitives,
        x: Value,
        weight: Operand,
        bias: Optional[Operand] = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        conv_mode: str = "cross_correlation",
        compute_mode: str = "default",
    ) -> Value:
        if conv_mode.lower() != "cross_correlation":
            raise Unsupported(f"the convolution mode {conv_mode}", "cross_correlation")
        sizes = (spread(size, rank) for size in (stride, padding, dilation))
        return p.convolution(x, _kernel(weight, groups, rank), _vector(bias), *sizes, groups)

    lower.__doc__ = f"``megengine.functional.conv{rank}d``: cross-correlation, zeros around."
    return lower


def _deconvolution(rank: int) -> Any:
    def lower(
        p: Primitives,
        x: Value,
        weight: Operand,
        bias: Optional[Operand] = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        conv_mode: str = "cross_correlation",
        compute_mode: str = "default",
    ) -> Value:
        sizes = (spread(size, rank) for size in (stride, padding, output_padding, dilation))
        return p.deconvolution(x, _kernel(weight, groups, rank), _vector(bias), *sizes, groups)

    lower.__doc__ = f"``megengine.functional.conv_transpose{rank}d``: the gradient of the convolution by its input."
    return lower


_CONVOLUTIONS = {rank: _convolution(rank) for rank in (1, 2, 3)}
_DECONVOLUTIONS = {rank: _deconvolution(rank) for rank in (2, 3)}
for _rank, _lower in _CONVOLUTIONS.items():
    function(getattr(F.nn, f"conv{_rank}d"))(_lower)
for _rank, _lower in _DECONVOLUTIONS.items():
    function(getattr(F.nn, f"conv_transpose{_rank}d"))(_lower)


@module(M.Conv1d, M.Conv2d, M.Conv3d)
def conv_module(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.Conv2d``: other padding than zeros is put around before."""
    rank = x.ndim - 2
    padding = spread(own.padding, rank)
    mode = getattr(own, "padding_mode", "zeros")
    if mode != "zeros":
        x = pad_edges(p, x, [(0, 0), (0, 0), *((width, width) for width in padding)], mode)
        padding = (0,) * rank
    return _CONVOLUTIONS[rank](p, x, own.weight, own.bias, own.stride, padding, own.dilation, own.groups, own.conv_mode)


@module(M.ConvTranspose2d, M.ConvTranspose3d)
def conv_transpose_module(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.ConvTranspose2d``."""
    extra = getattr(own, "output_padding", 0)
    lower = _DECONVOLUTIONS[x.ndim - 2]
    return lower(p, x, own.weight, own.bias, own.stride, own.padding, extra, own.dilation, own.groups)


CONVOLUTIONS.update((*_CONVOLUTIONS.values(), conv_module))


@module(M.ConvRelu2d)
def conv_relu_module(p: Primitives, own: M.ConvRelu2d, x: Value) -> Value:
    """``megengine.module.ConvRelu2d``."""
    return p.unary("relu", conv_module(p, own, x))


@module(M.ConvTransposeRelu2d)
def conv_transpose_relu_module(p: Primitives, own: M.ConvTransposeRelu2d, x: Value) -> Value:
    """``megengine.module.ConvTransposeRelu2d``."""
    return p.unary("relu", conv_transpose_module(p, own, x))


@module(M.ConvBn2d)
def conv_bn_module(p: Primitives, own: M.ConvBn2d, x: Value) -> Value:
    """``megengine.module.ConvBn2d``: the normalisation scales the kernel."""
    y = conv_module(p, own.conv, x)
    y.uses = 1
    return affine_of(p, own.bn, y)


@module(M.ConvBnRelu2d)
def conv_bn_relu_module(p: Primitives, own: M.ConvBnRelu2d, x: Value) -> Value:
    """``megengine.module.ConvBnRelu2d``."""
    return p.unary("relu", conv_bn_module(p, own, x))


@module(M.ConvTransposeBn2d)
def conv_transpose_bn_module(p: Primitives, own: M.ConvTransposeBn2d, x: Value) -> Value:
    """``megengine.module.ConvTransposeBn2d``."""
    return affine_of(p, own.bn, conv_transpose_module(p, own.conv_transpose2d, x))


@module(M.ConvTransposeBnRelu2d)
def conv_transpose_bn_relu_module(p: Primitives, own: M.ConvTransposeBnRelu2d, x: Value) -> Value:
    """``megengine.module.ConvTransposeBnRelu2d``."""
    return p.unary("relu", conv_transpose_bn_module(p, own, x))


@function(F.nn.sliding_window)
def sliding_window(
    p: Primitives, x: Value, kernel_size: Any, padding: Any = 0, stride: Any = 1, dilation: Any = 1
) -> Value:
    """``megengine.functional.nn.sliding_window``: (n, c, h, w) -> (n, c, out h, out w, kernel h, kernel w)."""
    sizes = [spread(size, 2) for size in (stride, padding, dilation)]
    height, width = spread(kernel_size, 2)
    picks = np.eye(height * width, dtype=np.float32).reshape(-1, 1, height, width)
    n, channels = x.shape[:2]
    alone = p.reshape(x, (n * channels, 1, *x.shape[2:]))
    y = p.convolution(alone, picks, None, *sizes, 1)
    y = p.transpose(y, (0, 2, 3, 1))
    return p.reshape(y, (n, channels, y.shape[1], y.shape[2], height, width))


@module(M.SlidingWindow)
def sliding_window_module(p: Primitives, own: M.SlidingWindow, x: Value) -> Value:
    """``megengine.module.SlidingWindow``."""
    return sliding_window(p, x, own.kernel_size, own.padding, own.stride, own.dilation)
