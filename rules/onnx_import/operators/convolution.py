"""Convolutions and transposed convolutions over one to three axes."""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of

Pads = List[Tuple[int, int]]


def pads_of(
    n: Node, lengths: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """What is added before and after each axis, by ``pads`` or ``auto_pad``."""
    rank, said = len(kernel), n.attribute("auto_pad", "NOTSET")
    if said in ("SAME_UPPER", "SAME_LOWER"):
        pads = []
        for length, size, step, apart in zip(lengths, kernel, strides, dilations):
            total = max(0, (-(-length // step) - 1) * step + (size - 1) * apart + 1 - length)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if said == "SAME_UPPER" else (large, small))
        return pads
    given = n.attribute("pads") if said == "NOTSET" else None
    given = given or [0] * (2 * rank)
    return [(given[axis], given[rank + axis]) for axis in range(rank)]


def padded(x: Any, pads: Pads, value: float = 0.0) -> Any:
    """The tensor with its last axes padded; a negative number cuts off."""
    if not any(before or after for before, after in pads):
        return x
    first = x.ndim - len(pads)
    for axis, (before, after) in enumerate(pads):
        if before < 0 or after < 0:
            length = int(shape_of(x)[first + axis])
            cut = [slice(None)] * x.ndim
            cut[first + axis] = slice(max(0, -before), length - max(0, -after))
            x = x[tuple(cut)]
    wide = [(0, 0)] * first + [(max(0, before), max(0, after)) for before, after in pads]
    return F.nn.pad(x, tuple(wide), mode="constant", constant_value=value) if any(map(any, wide)) else x


def even(x: Any, pads: Pads, value: float = 0.0) -> Tuple[Any, List[int]]:
    """The tensor and the padding that is left for the operation itself: the same before and after an axis."""
    if all(before == after >= 0 for before, after in pads):
        return x, [before for before, _ in pads]
    return padded(x, pads, value), [0] * len(pads)


def shaped(w: Walk, value: Any, shape: Sequence[int], role: str) -> Any:
    """A weight in the shape that MegEngine wants."""
    if isinstance(value, np.ndarray):
        return w.tensor(value if shape_of(value) == tuple(shape) else value.reshape(shape), role)
    return F.reshape(value, tuple(shape))


@operator("Conv")
def convolution(w: Walk, n: Node) -> Any:
    """Cross-correlation; MegEngine keeps the groups on an axis of their own, and the bias in full rank."""
    x, weight, bias = w.tensor(w.input(0)), w.input(1), w.input(2)
    rank, groups = x.ndim - 2, n.attribute("group", 1)
    if rank not in (1, 2, 3):
        raise Unsupported(f"a convolution over {rank} axes")
    kernel = list(shape_of(weight)[2:])
    strides, dilations = n.attribute("strides", [1] * rank), n.attribute("dilations", [1] * rank)
    x, pad = even(x, pads_of(n, list(shape_of(x)[2:]), kernel, strides, dilations))
    out, inner = shape_of(weight)[0], shape_of(weight)[1]
    if groups > 1:
        plane = [1] * (rank == 1)  # MegEngine's conv1d has no groups
        weight = shaped(w, weight, (groups, out // groups, inner, *plane, *kernel), "weight")
    else:
        weight = w.tensor(weight, "weight")
    if bias is not None:
        bias = shaped(w, bias, (1, out, *[1] * (2 if rank == 1 and groups > 1 else rank)), "bias")
    if rank == 1 and groups > 1:
        y = F.conv2d(F.expand_dims(x, 2), weight, bias, (1, strides[0]), (0, pad[0]), (1, dilations[0]), groups)
        return F.squeeze(y, 2)
    if rank == 1:
        return F.conv1d(x, weight, bias, strides[0], pad[0], dilations[0], groups)
    return (F.conv2d if rank == 2 else F.conv3d)(x, weight, bias, tuple(strides), tuple(pad), tuple(dilations), groups)


@operator("ConvTranspose")
def transposed(w: Walk, n: Node) -> Any:
    """Without padding, then cut to the size that the pads or the output's shape ask for."""
    x, weight, bias = w.tensor(w.input(0)), w.input(1), w.input(2)
    rank, groups = x.ndim - 2, n.attribute("group", 1)
    strides, dilations = list(n.attribute("strides", [1] * rank)), list(n.attribute("dilations", [1] * rank))
    extra = list(n.attribute("output_padding", [0] * rank))
    lengths, kernel = list(shape_of(x)[2:]), list(shape_of(weight)[2:])
    full = [(i - 1) * s + (k - 1) * d + 1 for i, s, k, d in zip(lengths, strides, kernel, dilations)]
    wanted, pads = _cut(n, lengths, strides, full, extra)
    inner, outer = shape_of(weight)[0], shape_of(weight)[1]
    if rank == 1:
        x, kernel = F.expand_dims(x, 2), [1, *kernel]
        strides, dilations, wanted, pads, full = (
            [1, *strides],
            [1, *dilations],
            [1, *wanted],
            [(0, 0), *pads],
            [1, *full],
        )
    elif rank > 3 or (rank == 3 and groups > 1):
        raise Unsupported(f"a transposed convolution over {rank} axes in {groups} groups")
    shape = (groups, inner // groups, outer, *kernel) if groups > 1 else (inner, outer, *kernel)
    weight = shaped(w, weight, shape, "weight")
    if bias is not None:
        bias = shaped(w, bias, (1, outer * groups, *[1] * len(kernel)), "bias")
    simple = all(b == a and full_ - 2 * b == out for (b, a), full_, out in zip(pads, full, wanted))
    padding = tuple(before for before, _ in pads) if simple else (0,) * len(pads)
    if len(kernel) == 3:
        y = F.conv_transpose3d(x, weight, bias, tuple(strides), padding, dilation=tuple(dilations))
    else:
        y = F.conv_transpose2d(x, weight, bias, tuple(strides), padding, dilation=tuple(dilations), groups=groups)
    if not simple:
        y = _fitted(y, bias, pads, full, wanted)
    return F.squeeze(y, 2) if rank == 1 else y


def _cut(n: Node, lengths: Sequence[int], strides: Sequence[int], full: Sequence[int], extra: Sequence[int]) -> Any:
    """The lengths of the result, and what is cut off before and after."""
    rank, said, shape = len(full), n.attribute("auto_pad", "NOTSET"), n.attribute("output_shape")
    if shape is None and said in ("SAME_UPPER", "SAME_LOWER"):
        shape = [length * step for length, step in zip(lengths, strides)]
    if shape is None:
        given = n.attribute("pads") if said == "NOTSET" else None
        given = given or [0] * (2 * rank)
        pads = [(given[axis], given[rank + axis]) for axis in range(rank)]
        return [f + e - b - a for f, e, (b, a) in zip(full, extra, pads)], pads
    wanted = list(shape)[-rank:]
    pads = []
    for length, longer, out in zip(full, extra, wanted):
        total = max(0, length + longer - out)
        half = total // 2 if said == "SAME_UPPER" else total - total // 2
        pads.append((half, total - half))
    return wanted, pads


def _fitted(y: Any, bias: Any, pads: Pads, full: Sequence[int], wanted: Sequence[int]) -> Any:
    """Cut to ``wanted``; what lies beyond the full result holds nothing but the bias."""
    beyond = [(0, max(0, before + out - length)) for (before, _), length, out in zip(pads, full, wanted)]
    biased = bias is not None and any(after for _, after in beyond)
    y = padded(y - bias, beyond) + bias if biased else padded(y, beyond)
    cut = [slice(before, before + out) for (before, _), out in zip(pads, wanted)]
    return y[(slice(None), slice(None), *cut)]
