"""Sums, means and extremes over axes; the largest, and the order."""

from __future__ import annotations

from typing import Any, Callable

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of


def _log_sum_exp(x: Any, axes: Any, keepdims: bool) -> Any:
    top = F.max(x, axes, keepdims=True)
    total = F.log(F.sum(F.exp(x - top), axes, keepdims=True)) + top
    return total if keepdims else F.squeeze(total, axes)


REDUCTIONS = {
    "ReduceSum": lambda x, axes, keep: F.sum(x, axes, keepdims=keep),
    "ReduceMean": lambda x, axes, keep: F.mean(x, axes, keepdims=keep),
    "ReduceMax": lambda x, axes, keep: F.max(x, axes, keepdims=keep),
    "ReduceMin": lambda x, axes, keep: F.min(x, axes, keepdims=keep),
    "ReduceProd": lambda x, axes, keep: F.prod(x, axes, keepdims=keep),
    "ReduceL1": lambda x, axes, keep: F.sum(F.abs(x), axes, keepdims=keep),
    "ReduceL2": lambda x, axes, keep: F.sqrt(F.sum(x * x, axes, keepdims=keep)),
    "ReduceSumSquare": lambda x, axes, keep: F.sum(x * x, axes, keepdims=keep),
    "ReduceLogSum": lambda x, axes, keep: F.log(F.sum(x, axes, keepdims=keep)),
    "ReduceLogSumExp": _log_sum_exp,
}


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(w: Walk, n: Node) -> Any:
        x = w.tensor(w.input(0))
        axes = w.integers("axes", 1, [])
        if not axes and n.attribute("noop_with_empty_axes", 0):
            return F.copy(x)
        axes = sorted(axis % x.ndim for axis in axes) or list(range(x.ndim))
        keep = bool(n.attribute("keepdims", 1))
        if not axes:
            return F.copy(x)
        y = function(x, axes, keep)
        return y if y.ndim or not x.ndim or keep else F.reshape(y, ())

    handler.__doc__ = "Over the axes, which are an attribute in older files and an input in newer ones; all without."
    return handler


for name, reduce in REDUCTIONS.items():
    operator(name)(_reduction(reduce))


@operator("ArgMax", "ArgMin")
def arg_extreme(w: Walk, n: Node) -> Any:
    """The first place of the extreme along the axis."""
    x = w.tensor(w.input(0))
    axis, keep = n.attribute("axis", 0) % x.ndim, bool(n.attribute("keepdims", 1))
    if n.attribute("select_last_index", 0):
        raise Unsupported("the last of equal elements is asked for")
    return (F.argmax if n.operator == "ArgMax" else F.argmin)(x, axis, keepdims=keep)


@operator("TopK")
def top(w: Walk, n: Node) -> Any:
    """Sorted; the axis comes last for it."""
    x = w.tensor(w.input(0))
    count = n.attribute("k") or int(np.reshape(w.known(1, "k"), ()))
    axis = n.attribute("axis", -1) % x.ndim
    order = [*(at for at in range(x.ndim) if at != axis), axis]
    moved = F.transpose(x, order) if axis != x.ndim - 1 else x
    lengths = list(shape_of(moved))
    flat = F.reshape(moved, (-1, lengths[-1]))
    values, places = F.topk(flat, count, descending=bool(n.attribute("largest", 1)))
    back = [order.index(at) for at in range(x.ndim)]
    shaped = (F.reshape(each, (*lengths[:-1], count)) for each in (values, places))
    return tuple(F.transpose(each, back) if axis != x.ndim - 1 else each for each in shaped)


@operator("CumSum")
def cumulative_sum(w: Walk, n: Node) -> Any:
    """``exclusive`` and ``reverse`` by turning round and moving on by one."""
    x, axis = w.tensor(w.input(0)), int(np.reshape(w.known(1, "axis"), ()))
    axis %= x.ndim
    if n.attribute("reverse", 0):
        x = turned(x, axis)
    y = F.cumsum(x, axis)
    if n.attribute("exclusive", 0):
        y = y - x
    return turned(y, axis) if n.attribute("reverse", 0) else y


def turned(x: Any, axis: int) -> Any:
    """The tensor with one axis backwards."""
    cut = [slice(None)] * x.ndim
    cut[axis] = slice(None, None, -1)
    return x[tuple(cut)]
