"""What leaves a value as it is when a float network is evaluated."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import megengine.module as M

from .primitives import Primitives
from .table import function, method, module, operator
from .values import Unsupported, Value


@function(F.dropout)
def dropout(p: Primitives, x: Value, drop_prob: float = 0.0, training: bool = True) -> Value:
    """``megengine.functional.dropout``: nothing outside of training."""
    if training and drop_prob:
        raise Unsupported("dropout in training mode", "training=False, or module.Dropout and eval() before tracing")
    return x


@module(M.Dropout)
def dropout_module(p: Primitives, own: M.Dropout, x: Value) -> Value:
    """``megengine.module.Dropout``."""
    return dropout(p, x, own.drop_prob, own.training)


@module(M.Identity, M.QuantStub, M.DequantStub)
def same_module(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.Identity``; the stubs do nothing before a network is quantised."""
    return x


@function(F.copy)
@method("detach", "to")
def same(p: Primitives, x: Value, *_: Any, **__: Any) -> Value:
    """``Tensor.detach`` and copies: the same numbers."""
    return x


@operator("Copy", "Identity")
def same_operator(p: Primitives, own: Any, x: Value) -> Value:
    """MegEngine's copying operators."""
    return x
