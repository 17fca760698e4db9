"""Sums, means, extremes, norms along axes, and running sums."""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

import megengine.functional as F

from .primitives import Primitives
from .table import Handler, function, method
from .values import Unsupported, Value, number, whole_number, whole_numbers


def _axes(x: Value, axis: Any) -> Tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else whole_numbers(axis)


def _reduction(kind: str) -> Handler:
    def lower(p: Primitives, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
        return p.reduce(kind, x, _axes(x, axis), keepdims=bool(keepdims) and axis is not None)

    lower.__doc__ = f"``megengine.functional.{kind}``: over all axes when none is given, and then without dimensions."
    return lower


for _kind in ("mean", "sum", "max", "min", "prod"):
    _lower = _reduction(_kind)
    function(getattr(F, _kind))(_lower)
    method(_kind)(_lower)


@function(F.var)
def var(p: Primitives, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """``megengine.functional.var``: the mean of the squared distances from the mean (biased)."""
    axes = _axes(x, axis)
    apart = p.sub(x, p.reduce("mean", x, axes, True))
    return p.reduce("mean", p.mul(apart, apart), axes, bool(keepdims) and axis is not None)


@function(F.std)
def std(p: Primitives, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
    """``megengine.functional.std``: the square root of the variance."""
    return p.unary("sqrt", var(p, x, axis, keepdims))


@function(F.norm)
def norm(p: Primitives, x: Value, ord: Optional[float] = None, axis: Any = None, keepdims: bool = False) -> Value:
    """``megengine.functional.norm``: sum(|x| ** ord) ** (1 / ord); for infinity it takes all axes, whatever is given."""
    order = 2 if ord is None else ord
    size = p.unary("abs", x)
    if order in (math.inf, -math.inf):
        return p.reduce("max" if order > 0 else "min", size, range(x.ndim), False)
    if order == 0:
        raise Unsupported("the norm of order 0")
    keep = bool(keepdims) and axis is not None
    if order == 1:
        return p.reduce("sum", size, _axes(x, axis), keep)
    if order == 2:
        return p.unary("sqrt", p.reduce("sum", p.mul(x, x), _axes(x, axis), keep))
    return p.binary(
        "pow", p.reduce("sum", p.binary("pow", size, number(order)), _axes(x, axis), keep), number(1 / order)
    )


@function(F.normalize)
def normalize(p: Primitives, x: Value, ord: Optional[float] = None, axis: Any = None, eps: float = 1e-12) -> Value:
    """``megengine.functional.normalize``: x / max(norm(x), eps)."""
    return p.div(x, p.binary("max", norm(p, x, ord, axis, keepdims=axis is not None), number(eps)))


@function(F.logsumexp)
def logsumexp(p: Primitives, x: Value, axis: Any, keepdims: bool = False) -> Value:
    """``megengine.functional.logsumexp``: the maximum is taken out before the exponential."""
    axes = whole_numbers(axis)
    top = p.reduce("max", x, axes, True)
    total = p.unary("log", p.reduce("sum", p.unary("exp", p.sub(x, top)), axes, True))
    result = p.add(total, top)
    if keepdims:
        return result
    dropped = {one % x.ndim for one in axes}
    return p.reshape(result, [n for one, n in enumerate(x.shape) if one not in dropped])


@function(F.cumsum)
def cumsum(p: Primitives, x: Value, axis: int) -> Value:
    """``megengine.functional.cumsum``: each sum includes its own element."""
    return p.cumulate(x, whole_number(axis))
