"""Arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from typing import Any, Callable, Optional

import megengine.functional as F
import megengine.module as M
import numpy as np

from . import arithmetic
from .primitives import Primitives
from .table import FUNCTIONS, Handler, function, method, module
from .values import Operand, Unsupported, Value, constant, number


def _binary(kind: str, swapped: bool = False) -> Handler:
    def lower(p: Primitives, a: Operand, b: Operand) -> Value:
        return p.binary(kind, b, a) if swapped else p.binary(kind, a, b)

    lower.__doc__ = f"Python's data model and ``megengine.functional``: ``{kind}`` with numpy's broadcasting."
    return lower


def _unary(kind: str) -> Handler:
    def lower(p: Primitives, x: Value) -> Value:
        return p.unary(kind, x)

    lower.__doc__ = f"``megengine.functional``: ``{kind}`` of each element."
    return lower


_OPERATORS = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow"}
for _name, _kind in _OPERATORS.items():
    method(f"__{_name}__", f"__i{_name}__")(_binary(_kind))
    method(f"__r{_name}__")(_binary(_kind, swapped=True))
for _name, _kind in {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}.items():
    method(f"__{_name}__")(_binary(_kind))
for _name in ("and", "or", "xor"):
    method(f"__{_name}__", f"__i{_name}__")(_binary(_name))
    method(f"__r{_name}__")(_binary(_name, swapped=True))
for _name, _kind in {
    "maximum": "max", "minimum": "min", "logical_and": "and", "logical_or": "or", "logical_xor": "xor",
    **{name: name for name in ("add", "sub", "mul", "div", "pow", *arithmetic.COMPARISONS)},
}.items():  # fmt: skip
    function(getattr(F, _name))(_binary(_kind))
for _name in ("abs", "neg", "floor", "ceil", "exp", "log", "sin", "cos", "sqrt", "tanh", "sigmoid", "relu", "relu6"):
    function(getattr(F, _name))(_unary(_name))
for _name, _kind in {
    "__neg__": "neg",
    "__abs__": "abs",
    "__floor__": "floor",
    "__ceil__": "ceil",
    "__invert__": "not",
}.items():
    method(_name)(_unary(_kind))
function(F.logical_not)(_unary("not"))


@method("__pos__")
def positive(p: Primitives, x: Value) -> Value:
    """Python's data model: ``+x`` is ``x``."""
    return x


@function(F.round)
@method("__round__")
def round_half_away(p: Primitives, x: Value) -> Value:
    """``megengine.functional.round`` is C's: halves go away from zero, which no format's own rounding does."""
    size = p.unary("floor", p.add(p.unary("abs", x), number(0.5)))
    return p.select(p.binary("less", x, number(0.0)), p.unary("neg", size), size)


@function(F.floor_div)
@method("__floordiv__", "__ifloordiv__")
def floor_divide(p: Primitives, a: Operand, b: Operand) -> Value:
    """``megengine.functional.floor_div``: floor(a / b)."""
    _floats("floor_div", a, b)
    return p.unary("floor", p.div(a, b))


@function(F.mod)
@method("__mod__", "__imod__")
def modulo(p: Primitives, a: Operand, b: Operand) -> Value:
    """``megengine.functional.mod`` is C's fmod: a - b trunc(a / b)."""
    _floats("mod", a, b)
    quotient = p.div(a, b)
    whole = p.unary("floor", p.unary("abs", quotient))
    return p.sub(a, p.mul(b, p.select(p.binary("less", quotient, number(0.0)), p.unary("neg", whole), whole)))


def _floats(name: str, *operands: Operand) -> None:
    if all(isinstance(operand, Value) and operand.dtype.kind != "f" for operand in operands):
        raise Unsupported(f"{name} of integers", "divide as float32")


@function(F.square)
def square(p: Primitives, x: Value) -> Value:
    """``megengine.functional.square``: x * x."""
    return p.mul(x, x)


@function(F.log1p)
def log1p(p: Primitives, x: Value) -> Value:
    """``megengine.functional.log1p``: log(x + 1)."""
    return p.unary("log", p.add(x, number(1.0)))


@function(F.expm1)
def expm1(p: Primitives, x: Value) -> Value:
    """``megengine.functional.expm1``: exp(x) - 1."""
    return p.sub(p.unary("exp", x), number(1.0))


@function(F.sign)
def sign(p: Primitives, x: Value) -> Value:
    """``megengine.functional.sign``: -1, 0 or 1."""
    zero = constant(x.dtype.type(0))
    above, below = (p.cast(p.binary(kind, x, zero), x.dtype) for kind in ("greater", "less"))
    return p.sub(above, below)


@function(F.tan)
def tan(p: Primitives, x: Value) -> Value:
    """``megengine.functional.tan``: sin / cos."""
    return p.div(p.unary("sin", x), p.unary("cos", x))


@function(F.sinh)
def sinh(p: Primitives, x: Value) -> Value:
    """``megengine.functional.sinh``: (exp(x) - exp(-x)) / 2."""
    return p.mul(p.sub(p.unary("exp", x), p.unary("exp", p.unary("neg", x))), number(0.5))


@function(F.cosh)
def cosh(p: Primitives, x: Value) -> Value:
    """``megengine.functional.cosh``: (exp(x) + exp(-x)) / 2."""
    return p.mul(p.add(p.unary("exp", x), p.unary("exp", p.unary("neg", x))), number(0.5))


@function(F.logaddexp)
def logaddexp(p: Primitives, a: Operand, b: Operand) -> Value:
    """``megengine.functional.logaddexp``: max(a, b) + log(1 + exp(-|a - b|))."""
    apart = p.unary("exp", p.unary("neg", p.unary("abs", p.sub(a, b))))
    return p.add(p.binary("max", a, b), log1p(p, apart))


@function(F.isnan)
def isnan(p: Primitives, x: Value) -> Value:
    """``megengine.functional.isnan``: NaN is what differs from itself."""
    return p.binary("not_equal", x, x)


@function(F.clip)
def clip(p: Primitives, x: Value, lower: Optional[Operand] = None, upper: Optional[Operand] = None) -> Value:
    """``megengine.functional.clip``: min(max(x, lower), upper); either bound may be missing."""
    if lower is not None:
        x = p.binary("max", x, _like(x, lower))
    return x if upper is None else p.binary("min", x, _like(x, upper))


def _like(x: Value, bound: Operand) -> Value:
    return bound if isinstance(bound, Value) else constant(np.asarray(bound, x.dtype))


@function(F.where)
def where(p: Primitives, mask: Value, x: Operand, y: Operand) -> Value:
    """``megengine.functional.where``: x where the mask holds, else y."""
    return p.select(mask, constant(x), constant(y))


@method("astype")
def astype(p: Primitives, x: Value, dtype: Any) -> Value:
    """``Tensor.astype``: C's conversion between numbers; to bool, whether the number is not zero."""
    if np.dtype(dtype).metadata:
        raise Unsupported("a quantised type in a float network")
    if np.dtype(dtype).kind == "b" and x.dtype.kind != "b":
        return p.binary("not_equal", x, constant(x.dtype.type(0)))
    return p.cast(x, dtype)


_FUSED = {
    "FUSE_ADD_RELU": lambda p, a, b: p.unary("relu", p.add(a, b)),
    "FUSE_ADD_SIGMOID": lambda p, a, b: p.unary("sigmoid", p.add(a, b)),
    "FUSE_ADD_TANH": lambda p, a, b: p.unary("tanh", p.add(a, b)),
    "FUSE_MUL_ADD3": lambda p, a, b, c: p.add(p.mul(a, b), c),
    "FUSE_MUL_ADD4": lambda p, a, b, c, d: p.add(p.mul(a, b), p.mul(c, d)),
    "TRUE_DIV": lambda p, a, b: p.div(a, b),
    "NEGATE": lambda p, a: p.unary("neg", a),
    "MAX": lambda p, a, b: p.binary("max", a, b),
    "MIN": lambda p, a, b: p.binary("min", a, b),
}


@module(M.Elemwise)
def elemwise(p: Primitives, own: M.Elemwise, *operands: Operand) -> Value:
    """``megengine.module.Elemwise``: the operation that its ``method`` names."""
    name = own.method.upper()
    lower: Optional[Callable[..., Any]] = _FUSED.get(name) or FUNCTIONS.get(getattr(F, name.lower(), None))
    if lower is None:
        raise Unsupported(f"the method {own.method}")
    result: Value = lower(p, *operands)
    return result
