"""Arithmetic of Caffe: Power and Scale layers for constants, Eltwise layers for blobs, steps for comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

import numpy as np
from megengine import Tensor
from mgeconvert.backend.ir_to_caffe.caffe_pb import caffe_pb2

from . import arithmetic
from .values import Array, Unsupported, Value, constant, number

if TYPE_CHECKING:
    from .to_caffe import CaffeEmission

_UNARY = {"relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "TanH", "exp": "Exp", "log": "Log", "abs": "AbsVal"}
_STEEP = 1e30
"""What a difference is multiplied with to become 0 or at least 1."""


def unary(p: CaffeEmission, kind: str, x: Value, result: Tensor, slope: float) -> Value:
    """Layers, or powers, of one blob."""
    if kind in _UNARY:
        value: Value = p.layer(_UNARY[kind], [x], result)
        return value
    if kind == "leaky_relu":
        leaky: Value = p.layer("ReLU", [x], result, relu_param=caffe_pb2.ReLUParameter(negative_slope=slope))
        return leaky
    if kind == "relu6":  # 6 - relu(6 - relu(x))
        return p.sub(number(6.0), p.unary("relu", p.sub(number(6.0), p.unary("relu", x))))
    powers: Dict[str, Dict[str, float]] = {
        "neg": {"scale": -1.0},
        "sqrt": {"power": 0.5},
        "rsqrt": {"power": -0.5},
        "reciprocal": {"power": -1.0},
        "not": {"scale": -1.0, "shift": 1.0},
    }
    if kind in powers:
        return p.power(x, result, **powers[kind])
    raise Unsupported(f"Caffe has no {kind}")


def binary(p: CaffeEmission, kind: str, a: Value, b: Value, result: Tensor) -> Value:
    """Of two blobs, or of a blob and a constant."""
    if kind in arithmetic.COMPARISONS:
        return Value(result, _compared(p, kind, a, b).stored)
    if kind in arithmetic.LOGICAL:
        parts = [x if x.constant and not x.ndim else p.cast(x, np.float32) for x in (a, b)]
        return Value(result, p.binary({"and": "mul", "or": "max", "xor": "not_equal"}[kind], *parts).stored)
    if a.constant or b.constant:
        x, known = (b, a) if a.constant else (a, b)
        array = np.asarray(known.array, np.float32)
        with_constant = _with_number if not array.ndim else _with_array
        return with_constant(p, kind, x, array, result, a.constant)
    shape = tuple(result._tuple_shape)
    return _of_blobs(p, kind, p.grow(a, shape), p.grow(b, shape), result)


def _of_blobs(p: CaffeEmission, kind: str, a: Value, b: Value, result: Tensor) -> Value:
    same = a.stored["plain"] is b.stored["plain"]
    if same and kind in ("add", "sub"):  # OpenCV wants different blobs
        return p.mul(a, number(2.0 if kind == "add" else 0.0))
    if same and kind == "mul":
        return p.power(a, result, power=2.0)
    if kind == "div":
        return p.mul(a, p.unary("reciprocal", b))
    if kind == "min":
        return p.sub(a, p.unary("relu", p.sub(a, b)))
    if kind == "pow":
        raise Unsupported("Caffe has no power whose exponent is computed")
    operation = {"add": "SUM", "sub": "SUM", "mul": "PROD", "max": "MAX"}[kind]
    factors = {"coeff": [1.0, -1.0]} if kind == "sub" else {}
    parameter = caffe_pb2.EltwiseParameter(operation=operation, **factors)
    value: Value = p.layer("Eltwise", [a, b], result, eltwise_param=parameter)
    return value


def _with_number(p: CaffeEmission, kind: str, x: Value, array: Array, result: Tensor, first: bool) -> Value:
    """``first``: the number is the left operand."""
    value = float(array)
    if kind == "div" and first:
        return p.mul(p.unary("reciprocal", x), number(value))
    ways: Dict[str, Callable[[], Any]] = {
        "add": lambda: p.power(x, result, shift=value),
        "sub": lambda: p.power(x, result, scale=-1.0, shift=value) if first else p.power(x, result, shift=-value),
        "mul": lambda: p.power(x, result, scale=value),
        "div": lambda: p.power(x, result, scale=1.0 / value),
        "max": lambda: p.add(p.unary("relu", p.sub(x, number(value))), number(value)),
        "min": lambda: p.sub(number(value), p.unary("relu", p.sub(number(value), x))),
    }
    if kind == "pow":
        if not first:
            return p.power(x, result, power=value)
        if value <= 0:
            raise Unsupported("Caffe has no power of a negative number")
        return p.unary("exp", p.mul(x, number(float(np.log(value)))))
    return ways[kind]()  # type: ignore[no-any-return]


def _with_array(p: CaffeEmission, kind: str, x: Value, array: Array, result: Tensor, first: bool) -> Value:
    x = p.grow(x, tuple(result._tuple_shape))
    known = constant(array)
    if kind == "add":
        return _scaled(p, x, None, array, result)
    if kind == "sub":
        return _scaled(p, p.unary("neg", x), None, array, result) if first else _scaled(p, x, None, -array, result)
    if kind == "mul":
        return _scaled(p, x, array, None, result)
    if kind == "div":
        return (
            _scaled(p, p.unary("reciprocal", x), array, None, result)
            if first
            else _scaled(p, x, 1.0 / array, None, result)
        )
    if kind == "max":
        return p.add(p.unary("relu", p.sub(x, known)), known)
    if kind == "min":
        return p.sub(known, p.unary("relu", p.sub(known, x)))
    raise Unsupported("Caffe has no power with an array of exponents")


def _scaled(p: CaffeEmission, x: Value, factor: Optional[Array], shift: Optional[Array], result: Tensor) -> Value:
    """A Scale layer: along the channels if the array varies there alone, else over all that it covers."""
    array = factor if factor is not None else shift
    assert array is not None
    shape = tuple(result._tuple_shape)
    if array.ndim > 1 and all(length == 1 for axis, length in enumerate(array.shape) if axis != 1):
        axis, count, array = 1, 1, array.reshape(-1)
    elif array.shape[0] == 1 and array.ndim > 1:
        axis, count, array = 1, -1, np.broadcast_to(array, (1, *shape[1:]))[0]
    else:
        axis, count, array = 0, -1, np.broadcast_to(array, shape)
    blobs = [array] if factor is not None else [np.ones_like(array), array]
    parameter = caffe_pb2.ScaleParameter(axis=axis, num_axes=count, bias_term=factor is None)
    value: Value = p.layer("Scale", [x], result, blobs=blobs, scale_param=parameter)
    return value


def _compared(p: CaffeEmission, kind: str, a: Value, b: Value) -> Value:
    if kind in ("less", "greater_equal"):
        a, b = b, a
    if kind in ("equal", "not_equal"):
        differ = _step(p, p.unary("abs", p.sub(a, b)))
        return differ if kind == "not_equal" else p.sub(number(1.0), differ)
    # greater: a > b; less_equal is what greater is not.
    above = _step(p, p.sub(a, b))
    return above if kind in ("greater", "less") else p.sub(number(1.0), above)


def _step(p: CaffeEmission, x: Value) -> Value:
    """1 above zero, else 0: min(relu(steep x), 1)."""
    rest = p.unary("relu", p.sub(number(1.0), p.unary("relu", p.mul(x, number(_STEEP)))))
    return p.sub(number(1.0), rest)


def select(p: CaffeEmission, condition: Value, a: Value, b: Value) -> Value:
    """condition * a + (1 - condition) * b."""
    chosen = p.cast(condition, np.float32)
    return p.add(p.mul(chosen, a), p.mul(p.sub(number(1.0), chosen), b))
