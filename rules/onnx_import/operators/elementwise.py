"""Operators that work element by element, and activations.

MegEngine's functions are named and looked up when they are called: while tracing others stand in their place.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import megengine.functional as F
import numpy as np
import onnx.helper

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, is_constant, narrow, shape_of

UNARY = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan",
    "Atanh": "atanh", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Exp": "exp", "Floor": "floor", "Log": "log",
    "Neg": "neg", "Not": "logical_not", "Relu": "relu", "Sigmoid": "sigmoid", "Sign": "sign",
    "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
    "IsNaN": "isnan", "HardSwish": "hswish",
}  # fmt: skip
BINARY = {
    "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "Equal": "equal", "Greater": "greater",
    "GreaterOrEqual": "greater_equal", "Less": "less", "LessOrEqual": "less_equal", "Add": "add", "Sub": "sub",
    "Mul": "mul", "Pow": "pow",
}  # fmt: skip
MANY = {"Sum": "add", "Max": "maximum", "Min": "minimum"}


def kind(tensor: Any) -> str:
    """numpy's letter of the tensor's type: f, i, u or b."""
    return str(np.dtype(tensor.dtype).kind)


def _unary(function: str) -> Callable[..., Any]:
    def handler(w: Walk, n: Node) -> Any:
        return getattr(F, function)(w.tensor(w.input(0)))

    handler.__doc__ = f"``{function}`` of MegEngine means the same."
    return handler


def _pair(w: Walk, n: Node) -> Any:
    a, b = w.inputs()
    a, b = w.operand(a, "a"), w.operand(b, "b")
    return (w.tensor(w.input(0), "a"), b) if isinstance(a, float) and isinstance(b, float) else (a, b)


def _binary(function: str) -> Callable[..., Any]:
    def handler(w: Walk, n: Node) -> Any:
        return getattr(F, function)(*_pair(w, n))

    handler.__doc__ = f"``{function}`` of MegEngine means the same."
    return handler


def _many(function: str) -> Callable[..., Any]:
    def handler(w: Walk, n: Node) -> Any:
        first, *others = w.inputs()
        total = w.tensor(first)
        for each in others:
            total = getattr(F, function)(total, w.operand(each))
        return total if others else F.copy(total)

    handler.__doc__ = f"``{function}`` of MegEngine, from left to right."
    return handler


for name, function in UNARY.items():
    operator(name)(_unary(function))
for name, function in BINARY.items():
    operator(name)(_binary(function))
for name, function in MANY.items():
    operator(name)(_many(function))


@operator("Identity", "Dropout")
def same(w: Walk, n: Node) -> Any:
    """The value itself; Dropout in a file for inference does nothing, its mask is not given."""
    if any(n.outputs[1:]) or (n.operator == "Dropout" and _trains(w, n)):
        raise Unsupported("it is Dropout in training mode")
    return w.input(0)


def _trains(w: Walk, n: Node) -> bool:
    mode = w.known(2, "training_mode")
    return bool(mode) and bool(np.all(w.known(1, "ratio") != 0))


@operator("Div")
def divide(w: Walk, n: Node) -> Any:
    """True division of floats; of integers cut off towards zero."""
    a, b = _pair(w, n)
    whole = [kind(each) for each in (a, b) if not isinstance(each, float)]
    if "f" in whole:
        return F.div(a, b)
    quotient = F.floor_div(F.abs(a), F.abs(b)) if set(whole) == {"i"} else F.floor_div(a, b)
    return (
        quotient * F.sign(a).astype(quotient.dtype) * F.sign(b).astype(quotient.dtype)
        if set(whole) == {"i"}
        else quotient
    )


@operator("Mod")
def modulo(w: Walk, n: Node) -> Any:
    """With the sign of the divisor; ``fmod`` with the sign of the dividend."""
    a, b = (w.tensor(value) for value in w.inputs())
    if n.attribute("fmod", 0):
        size = F.abs(a) - F.floor(F.abs(a) / F.abs(b)) * F.abs(b)
        return size * F.sign(a)
    if kind(a) == "u":
        return a - F.floor_div(a, b) * b
    return a - F.floor(a / b).astype(a.dtype) * b


@operator("Reciprocal")
def reciprocal(w: Walk, n: Node) -> Any:
    """1 / x."""
    return 1.0 / w.tensor(w.input(0))


@operator("Erf")
def erf(w: Walk, n: Node) -> Any:
    """From MegEngine's exact GELU, x/2 (1 + erf(x/√2)), at √2 x; near zero by the first terms of the series."""
    x = w.tensor(w.input(0))
    far = F.abs(x) > 0.05
    safe = F.where(far, x, F.ones_like(x)) * math.sqrt(2.0)
    series = x * (2.0 / math.sqrt(math.pi)) * (1.0 - x * x / 3.0 + x * x * x * x / 10.0)
    return F.where(far, F.gelu(safe) / safe * 2.0 - 1.0, series)


@operator("IsInf")
def is_infinite(w: Walk, n: Node) -> Any:
    """Either sign, or the one that is asked for."""
    x = w.tensor(w.input(0))
    up, down = F.equal(x, math.inf), F.equal(x, -math.inf)
    wanted = [each for each, asked in ((up, "detect_positive"), (down, "detect_negative")) if n.attribute(asked, 1)]
    return F.logical_or(*wanted) if len(wanted) == 2 else wanted[0] if wanted else F.not_equal(x, x) & up


@operator("LeakyRelu")
def leaky_relu(w: Walk, n: Node) -> Any:
    """x, or alpha x below zero."""
    return F.leaky_relu(w.tensor(w.input(0)), n.attribute("alpha", 0.01))


@operator("PRelu")
def prelu(w: Walk, n: Node) -> Any:
    """The slope spreads as every other operand does."""
    x, slope = w.tensor(w.input(0)), w.input(1)
    channels = shape_of(x)[1] if x.ndim > 1 else 0
    if isinstance(slope, np.ndarray) and x.ndim == 4 and shape_of(slope) in ((channels, 1, 1), (1, channels, 1, 1)):
        return F.prelu(x, w.tensor(slope.reshape(1, channels, 1, 1), "slope"))
    return F.maximum(x, 0.0) + F.minimum(x, 0.0) * w.operand(slope, "slope")


@operator("Elu")
def elu(w: Walk, n: Node) -> Any:
    """alpha (exp(x) - 1) below zero."""
    x = w.tensor(w.input(0))
    return F.maximum(x, 0.0) + (F.exp(F.minimum(x, 0.0)) - 1.0) * n.attribute("alpha", 1.0)


@operator("Selu")
def selu(w: Walk, n: Node) -> Any:
    """gamma times Elu."""
    x = w.tensor(w.input(0))
    alpha, gamma = n.attribute("alpha", 1.67326319217681884765625), n.attribute("gamma", 1.05070102214813232421875)
    return F.maximum(x, 0.0) * gamma + (F.exp(F.minimum(x, 0.0)) - 1.0) * (alpha * gamma)


@operator("Celu")
def celu(w: Walk, n: Node) -> Any:
    """max(x, 0) + min(0, alpha (exp(x / alpha) - 1))."""
    x, alpha = w.tensor(w.input(0)), n.attribute("alpha", 1.0)
    return F.maximum(x, 0.0) + (F.exp(F.minimum(x, 0.0) * (1.0 / alpha)) - 1.0) * alpha


@operator("ThresholdedRelu")
def thresholded_relu(w: Walk, n: Node) -> Any:
    """x above alpha, else 0."""
    x = w.tensor(w.input(0))
    return x * (x > n.attribute("alpha", 1.0)).astype("float32")


@operator("Shrink")
def shrink(w: Walk, n: Node) -> Any:
    """0 within ±lambd, else x moved towards zero by the bias."""
    x = w.tensor(w.input(0))
    limit, bias = n.attribute("lambd", 0.5), n.attribute("bias", 0.0)
    return (x + bias) * (x < -limit).astype("float32") + (x - bias) * (x > limit).astype("float32")


@operator("HardSigmoid")
def hard_sigmoid(w: Walk, n: Node) -> Any:
    """max(0, min(1, alpha x + beta)); MegEngine's own is alpha 1/6, beta 1/2."""
    x, alpha, beta = w.tensor(w.input(0)), n.attribute("alpha", 0.2), n.attribute("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hsigmoid(x)
    return F.clip(x * alpha + beta, 0.0, 1.0)


@operator("Softsign")
def softsign(w: Walk, n: Node) -> Any:
    """x / (1 + |x|)."""
    x = w.tensor(w.input(0))
    return x / (F.abs(x) + 1.0)


@operator("Mish")
def mish(w: Walk, n: Node) -> Any:
    """x tanh(softplus(x))."""
    x = w.tensor(w.input(0))
    return x * F.tanh(F.softplus(x))


@operator("Gelu")
def gelu(w: Walk, n: Node) -> Any:
    """By the error function; the approximation by tanh is written out."""
    x = w.tensor(w.input(0))
    if n.attribute("approximate", "none") == "none":
        return F.gelu(x)
    return x * 0.5 * (F.tanh((x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1.0)


@operator("Clip")
def clip(w: Walk, n: Node) -> Any:
    """Bounds are attributes before opset 11, inputs since; either may be missing."""
    x = w.tensor(w.input(0))
    low = n.attribute("min") if n.opset < 11 else w.input(1)
    high = n.attribute("max") if n.opset < 11 else w.input(2)
    if kind(x) == "f" and is_constant(low) and is_constant(high):
        low, high = (None if each is None else float(np.reshape(each, ())) for each in (low, high))
        if low is not None and high is not None and low <= high:
            return F.clip(x, low, high)
        x = x if low is None else F.maximum(x, low)
        return F.copy(x) if low is None and high is None else x if high is None else F.minimum(x, high)
    x = x if low is None else F.maximum(x, w.tensor(low, "min"))
    return x if high is None else F.minimum(x, w.tensor(high, "max"))


@operator("Where")
def where(w: Walk, n: Node) -> Any:
    """MegEngine's wants three tensors of one shape."""
    shape = np.broadcast_shapes(*(shape_of(value) for value in w.inputs()))
    mask, a, b = (spread(w.tensor(value, role), shape) for value, role in zip(w.inputs(), ("mask", "a", "b")))
    if kind(a) != "f":
        chosen = mask.astype("int32")
        return (a.astype("int32") * chosen + b.astype("int32") * (1 - chosen)).astype(a.dtype)
    return F.where(mask, a, b)


def spread(tensor: Any, shape: Any) -> Any:
    """The tensor in a shape that it spreads to."""
    return tensor if shape_of(tensor) == tuple(shape) else F.broadcast_to(tensor, tuple(shape))


@operator("Cast")
def cast(w: Walk, n: Node) -> Any:
    """To the nearest type that MegEngine has."""
    to = n.attribute("to")
    name = to.lower() if isinstance(to, str) else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(to)).name
    name = {"float": "float32", "double": "float64"}.get(name, name)
    return _as(w.input(0), narrow(np.zeros(0, name)).dtype.name)


@operator("CastLike")
def cast_like(w: Walk, n: Node) -> Any:
    """To the type of the other value."""
    like = w.input(1)
    return _as(w.input(0), narrow(like).dtype.name if isinstance(like, np.ndarray) else np.dtype(like.dtype).name)


def _as(value: Any, wanted: str) -> Any:
    if isinstance(value, np.ndarray):
        return narrow(value).astype(wanted)
    if np.dtype(value.dtype).name == wanted:
        return F.copy(value)
    shape = shape_of(value)
    given = F.not_equal(value, 0) if wanted == "bool" else value.astype(wanted)
    return given if shape_of(given) == shape else F.reshape(given, shape)


@operator("Mean")
def mean(w: Walk, n: Node) -> Any:
    """The sum from left to right, divided by the number of values."""
    total, count = w.tensor(w.input(0)), len(n.inputs)
    for value in w.inputs()[1:]:
        total = total + w.operand(value)
    return total * (1.0 / count)


@operator("Round")
def round_to_even(w: Walk, n: Node) -> Any:
    """Halves go to the even number; MegEngine's own go away from zero."""
    x = w.tensor(w.input(0))
    low = F.floor(x)
    part, odd = x - low, low - F.floor(low * 0.5) * 2.0
    return low + (part > 0.5).astype("float32") + F.equal(part, 0.5).astype("float32") * odd
