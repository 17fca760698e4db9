"""Sorting, the largest values, and their positions. MegEngine sorts the rows of two dimensions."""

from __future__ import annotations

from typing import Any, Tuple

import megengine.functional as F

from .primitives import Primitives
from .table import Handler, function
from .values import Unsupported, Value, whole_number


def _arg(kind: str) -> Handler:
    def lower(p: Primitives, x: Value, axis: Any = None, keepdims: bool = False) -> Value:
        if axis is None:
            return p.arg(kind, p.reshape(x, (-1,)), 0)
        position = whole_number(axis)
        y = p.arg(kind, x, position)
        kept = [1 if other == position % x.ndim else n for other, n in enumerate(x.shape)]
        return p.reshape(y, kept) if keepdims else y

    lower.__doc__ = (
        f"``megengine.functional.arg{kind}``: the first position, as int32; of all elements without an axis."
    )
    return lower


function(F.argmax)(_arg("max"))
function(F.argmin)(_arg("min"))


@function(F.sort)
def sort(p: Primitives, x: Value, descending: bool = False) -> Tuple[Value, Value]:
    """``megengine.functional.sort``: each row sorted, and the positions that its values had."""
    return p.top(x, x.shape[-1], bool(descending))


@function(F.argsort)
def argsort(p: Primitives, x: Value, descending: bool = False) -> Value:
    """``megengine.functional.argsort``: the positions alone."""
    return sort(p, x, descending)[1]


@function(F.topk)
def topk(
    p: Primitives, x: Value, k: Any, descending: bool = True, kth_only: bool = False, no_sort: bool = False
) -> Tuple[Value, Value]:
    """``megengine.functional.topk``: the k smallest, or the largest when descending, of each row."""
    if no_sort:
        raise Unsupported("top-k in no order", "no_sort=False")
    count = whole_number(k)
    values, positions = p.top(x, count, bool(descending))
    if not kth_only:
        return values, positions
    last = [p.slice(each, -1, count - 1, count) for each in (values, positions)]
    return p.reshape(last[0], x.shape[:-1]), p.reshape(last[1], x.shape[:-1])
