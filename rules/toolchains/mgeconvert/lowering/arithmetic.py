"""What each primitive computes, by MegEngine's own functions: the reference of the lowering's constants and samples."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Sequence

import megengine.functional as F
import numpy as np
from megengine import Tensor

from .values import Array, Shape, Value, array_of

COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
LOGICAL = ("and", "or", "xor")
TOLERANCE = 1e-4
"""How far a lowering may be off, as a part of the largest magnitude that MegEngine gives: rounding in another order."""

BINARY: Dict[str, Callable[[Any, Any], Tensor]] = {
    "add": F.add,
    "sub": F.sub,
    "mul": F.mul,
    "div": F.div,
    "max": F.maximum,
    "min": F.minimum,
    "pow": F.pow,
    "equal": F.equal,
    "not_equal": F.not_equal,
    "less": F.less,
    "less_equal": F.less_equal,
    "greater": F.greater,
    "greater_equal": F.greater_equal,
    "and": F.logical_and,
    "or": F.logical_or,
    "xor": F.logical_xor,
}

UNARY: Dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "exp": F.exp,
    "log": F.log,
    "abs": F.abs,
    "neg": F.neg,
    "floor": F.floor,
    "ceil": F.ceil,
    "sin": F.sin,
    "cos": F.cos,
    "sqrt": F.sqrt,
    "reciprocal": lambda x: 1.0 / x,
    "rsqrt": lambda x: 1.0 / F.sqrt(x),
    "not": F.logical_not,
    "identity": lambda x: x,
}

REDUCE: Dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "mean": lambda x, axes: F.mean(x, list(axes), keepdims=True),
    "sum": lambda x, axes: F.sum(x, list(axes), keepdims=True),
    "max": lambda x, axes: F.max(x, list(axes), keepdims=True),
    "min": lambda x, axes: F.min(x, list(axes), keepdims=True),
    "prod": lambda x, axes: F.prod(x, list(axes), keepdims=True),
}


def operand_type(kind: str, a: Value, b: Value, result: Tensor) -> np.dtype:
    """The type that both operands must have in formats that do not mix types."""
    if kind not in COMPARISONS + LOGICAL:
        return np.dtype(result.dtype)
    if kind in LOGICAL:
        return np.dtype(bool)
    floats = [value.dtype for value in (a, b) if value.dtype.kind == "f"]
    return max(floats, key=lambda dtype: dtype.itemsize) if floats else np.dtype(np.int32)


def erf(x: Tensor) -> Tensor:
    """MegEngine has no error function of its own."""
    return Tensor(np.vectorize(math.erf, otypes=[np.float32])(array_of(x)))


def convolution(
    x: Tensor,
    weight: Array,
    bias: Optional[Array],
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
    answer: Optional[Tensor] = None,
) -> Tensor:
    """Over one to three axes; ``answer`` is taken where it is right, as far as some places of it tell."""
    if answer is not None and _is_convolution(answer, x, weight, bias, stride, padding, dilation, groups):
        return answer
    function = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[weight.ndim]
    sizes = (stride, padding, dilation) if weight.ndim > 3 else (stride[0], padding[0], dilation[0])
    return function(x, Tensor(_grouped(weight, groups)), _shaped(bias, weight.ndim), *sizes, groups)


def _is_convolution(
    answer: Tensor, x: Tensor, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> bool:  # fmt: skip
    """Whether the first, the middle and the last place of the last sample are what the window there gives."""
    parts = zip(x._tuple_shape[2:], weight.shape[2:], stride, padding, dilation)
    spatial = tuple((n + 2 * pad - apart * (kernel - 1) - 1) // step + 1 for n, kernel, step, pad, apart in parts)
    if answer._tuple_shape != (x._tuple_shape[0], weight.shape[0], *spatial):
        return False
    image, found = array_of(x[-1]), array_of(answer[-1])
    reach = np.abs(found).max(initial=0.0) * TOLERANCE + 1e-6
    rows = weight.reshape(groups, weight.shape[0] // groups, -1)
    for place in ([0] * len(spatial), [n // 2 for n in spatial], [n - 1 for n in spatial]):
        window = _window(image, weight.shape[2:], place, stride, padding, dilation).reshape(groups, -1, 1)
        wanted = (rows @ window).reshape(-1) + (0.0 if bias is None else bias)
        if not np.abs(found[(slice(None), *place)] - wanted).max() <= reach:
            return False
    return True


def _window(image: Array, kernel: Shape, place: Sequence[int], stride: Shape, padding: Shape, dilation: Shape) -> Array:
    """What a kernel at a place of the result sees of an image, (channels, *kernel): zeros around it."""
    window = np.zeros((image.shape[0], *kernel), image.dtype)
    seen = []
    for length, size, at, step, pad, apart in zip(image.shape[1:], kernel, place, stride, padding, dilation):
        positions = at * step - pad + apart * np.arange(size)
        inside = (positions >= 0) & (positions < length)
        seen.append((np.flatnonzero(inside), positions[inside]))
    channels = np.arange(image.shape[0])
    window[np.ix_(channels, *(to for to, _ in seen))] = image[np.ix_(channels, *(of for _, of in seen))]
    return window


def deconvolution(
    x: Tensor,
    weight: Array,
    bias: Optional[Array],
    stride: Shape,
    padding: Shape,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
) -> Tensor:
    """Over two or three axes."""
    function = {4: F.conv_transpose2d, 5: F.conv_transpose3d}[weight.ndim]
    x = F.reshape(F.reshape(x, (-1,)), x._tuple_shape)  # it takes no view with gaps, as of some of the channels
    sizes = (stride, padding, output_padding, dilation)
    return function(x, Tensor(_grouped(weight, groups)), _shaped(bias, weight.ndim), *sizes, groups)


def _grouped(weight: Array, groups: int) -> Array:
    return weight if groups == 1 else weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def _shaped(bias: Optional[Array], ndim: int) -> Optional[Tensor]:
    return None if bias is None else Tensor(bias.reshape(1, -1, *[1] * (ndim - 2)))


def pool(kind: str, x: Tensor, kernel: Shape, stride: Shape, padding: Shape, exclusive: bool) -> Tensor:
    """Over windows of the last two axes of four."""
    if kind == "max":
        return F.max_pool2d(x, kernel, stride, padding)
    mode = "average_count_exclude_padding" if exclusive else "average"
    return F.avg_pool2d(x, kernel, stride, padding, mode)


def resize(x: Tensor, size: Shape, kind: str, align_corners: bool) -> Tensor:
    """Over the last two axes of four."""
    corners = {"align_corners": align_corners} if kind == "bilinear" else {}
    return F.vision.interpolate(x, size=size, mode=kind, **corners)
