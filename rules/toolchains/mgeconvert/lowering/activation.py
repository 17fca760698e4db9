"""Activation functions and the softmax family."""

from __future__ import annotations

from typing import Optional, Sequence, Union

import megengine.functional as F
import megengine.module as M

from . import decompositions
from .primitives import Primitives
from .reduction import logsumexp
from .table import function, module
from .values import Operand, Value, constant, number, whole_number, whole_numbers


@module(M.ReLU)
def relu_module(p: Primitives, own: M.ReLU, x: Value) -> Value:
    """``megengine.module.ReLU``: max(x, 0)."""
    return p.unary("relu", x)


@module(M.Sigmoid)
def sigmoid_module(p: Primitives, own: M.Sigmoid, x: Value) -> Value:
    """``megengine.module.Sigmoid``: 1 / (1 + exp(-x))."""
    return p.unary("sigmoid", x)


@function(F.leaky_relu)
def leaky_relu(p: Primitives, x: Value, negative_slope: float = 0.01) -> Value:
    """``megengine.functional.leaky_relu``: x above zero, slope * x below."""
    return p.unary("leaky_relu", x, float(negative_slope))


@module(M.LeakyReLU)
def leaky_relu_module(p: Primitives, own: M.LeakyReLU, x: Value) -> Value:
    """``megengine.module.LeakyReLU``."""
    return leaky_relu(p, x, own.negative_slope)


@function(F.prelu)
def prelu(p: Primitives, x: Value, weight: Operand) -> Value:
    """``megengine.functional.prelu``: x above zero, weight * x below; one weight, or one for each channel."""
    slope = constant(weight)
    if slope.ndim == 1 and slope.shape[0] > 1:
        slope = p.reshape(slope, (1, -1) + (1,) * (x.ndim - 2))
    below = p.unary("relu", p.unary("neg", x))
    return p.sub(p.unary("relu", x), p.mul(below, slope))


@module(M.PReLU)
def prelu_module(p: Primitives, own: M.PReLU, x: Value) -> Value:
    """``megengine.module.PReLU``."""
    return prelu(p, x, own.weight)


@function(F.silu)
def silu(p: Primitives, x: Value) -> Value:
    """``megengine.functional.silu``: x * sigmoid(x)."""
    return p.mul(x, p.unary("sigmoid", x))


@module(M.SiLU)
def silu_module(p: Primitives, own: M.SiLU, x: Value) -> Value:
    """``megengine.module.SiLU``."""
    return silu(p, x)


@function(F.gelu)
def gelu(p: Primitives, x: Value) -> Value:
    """``megengine.functional.gelu``: x times the normal distribution's function, without approximation."""
    return decompositions.gelu(p, x)


@module(M.GELU)
def gelu_module(p: Primitives, own: M.GELU, x: Value) -> Value:
    """``megengine.module.GELU``."""
    return gelu(p, x)


@function(F.hsigmoid)
def hsigmoid(p: Primitives, x: Value) -> Value:
    """``megengine.functional.hsigmoid``: relu6(x + 3) / 6."""
    return p.mul(p.unary("relu6", p.add(x, number(3.0))), number(1 / 6))


@function(F.hswish)
def hswish(p: Primitives, x: Value) -> Value:
    """``megengine.functional.hswish``: x * relu6(x + 3) / 6."""
    return p.mul(x, hsigmoid(p, x))


@function(F.softplus)
def softplus(p: Primitives, x: Value) -> Value:
    """``megengine.functional.softplus``: log(1 + exp(x))."""
    return decompositions.softplus(p, x)


@function(F.nn.logsigmoid)
def logsigmoid(p: Primitives, x: Value) -> Value:
    """``megengine.functional.logsigmoid``: log(sigmoid(x)) = -softplus(-x)."""
    return p.unary("neg", softplus(p, p.unary("neg", x)))


@function(F.softmax)
def softmax(p: Primitives, x: Value, axis: Union[int, Sequence[int], None] = None) -> Value:
    """``megengine.functional.softmax``: without an axis it takes 0 for one or three dimensions, else 1."""
    if isinstance(axis, (list, tuple)):
        return p.unary("exp", p.sub(x, logsumexp(p, x, axis, True)))
    return p.softmax(x, (0 if x.ndim in (0, 1, 3) else 1) if axis is None else whole_number(axis))


@module(M.Softmax)
def softmax_module(p: Primitives, own: M.Softmax, x: Value) -> Value:
    """``megengine.module.Softmax``."""
    axis: Optional[int] = own.axis
    return softmax(p, x, axis)


@function(F.logsoftmax)
def logsoftmax(p: Primitives, x: Value, axis: Union[int, Sequence[int]]) -> Value:
    """``megengine.functional.logsoftmax``: x - logsumexp(x)."""
    return p.sub(x, logsumexp(p, x, whole_numbers(axis), True))
