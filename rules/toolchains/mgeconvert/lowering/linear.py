"""Linear layers and matrix products."""

from __future__ import annotations

from typing import Any, Optional

import megengine.functional as F
import megengine.module as M

from .normalisation import affine_of
from .primitives import Primitives
from .table import function, method, module
from .values import Operand, Value, constant


@function(F.linear)
def linear(p: Primitives, x: Value, weight: Operand, bias: Optional[Operand] = None, compute_mode: str = "") -> Value:
    """``megengine.functional.linear``: x @ weight.T + bias; the weight may be computed by the network."""
    kernel = constant(weight)
    offset = None if bias is None else constant(bias)
    if kernel.constant and (offset is None or offset.constant):
        return p.linear(x, kernel.array, None if offset is None else offset.array.reshape(-1))
    y = p.matmul(x, p.transpose(kernel, (1, 0)))
    return y if offset is None else p.add(y, offset)


@module(M.Linear)
def linear_module(p: Primitives, own: M.Linear, x: Value) -> Value:
    """``megengine.module.Linear``."""
    return linear(p, x, own.weight, own.bias)


@module(M.LinearRelu)
def linear_relu_module(p: Primitives, own: M.LinearRelu, x: Value) -> Value:
    """``megengine.module.LinearRelu``."""
    return p.unary("relu", linear_module(p, own, x))


@module(M.LinearBn1d)
def linear_bn_module(p: Primitives, own: M.LinearBn1d, x: Value) -> Value:
    """``megengine.module.LinearBn1d``."""
    return affine_of(p, own.bn, linear_module(p, own.linear, x))


@module(M.LinearBnRelu1d)
def linear_bn_relu_module(p: Primitives, own: M.LinearBnRelu1d, x: Value) -> Value:
    """``megengine.module.LinearBnRelu1d``."""
    return p.unary("relu", linear_bn_module(p, own, x))


@function(F.matmul)
@method("__matmul__", "__imatmul__")
def matmul(
    p: Primitives,
    a: Operand,
    b: Operand,
    transpose_a: bool = False,
    transpose_b: bool = False,
    compute_mode: str = "default",
    **_: Any,
) -> Value:
    """``megengine.functional.matmul``: over the last two axes; a vector counts as a row before, a column behind."""
    left, right = constant(a), constant(b)
    row, column = left.ndim == 1, right.ndim == 1
    left = p.reshape(left, (1, -1)) if row else _turned(p, left, transpose_a)
    right = p.reshape(right, (-1, 1)) if column else _turned(p, right, transpose_b)
    y = p.matmul(left, right)
    if column:
        y = p.reshape(y, y.shape[:-1])
    return (
        p.reshape(y, (*y.shape[: y.ndim - (1 if column else 2)], *y.shape[y.ndim - (0 if column else 1) :]))
        if row
        else y
    )


def _turned(p: Primitives, x: Value, turned: bool) -> Value:
    return p.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) if turned else x


@method("__rmatmul__")
def matmul_reversed(p: Primitives, a: Operand, b: Operand) -> Value:
    """Python's data model: ``b @ a``."""
    return matmul(p, b, a)


@function(F.dot)
def dot(p: Primitives, inp1: Value, inp2: Value) -> Value:
    """``megengine.functional.dot``: the sum of the products of two vectors."""
    return p.reduce("sum", p.mul(inp1, inp2), [0], False)


@module(M.BatchMatMulActivation)
def batch_matmul_module(p: Primitives, own: M.BatchMatMulActivation, x: Value) -> Value:
    """``megengine.module.BatchMatMulActivation``: weight @ x + bias, and ReLU if it says so."""
    y = p.matmul(constant(own.weight), x)
    if own.bias is not None:
        y = p.add(y, constant(own.bias))
    return p.unary("relu", y) if own.nonlinear_mode == "relu" else y
