"""The primitives that every operation of MegEngine is lowered to.

A primitive computes its result for the sample with MegEngine itself, folds what depends only on constants, brings the
operands into the form that every format takes, and leaves the rest to the format: the methods ``emit_*``. A format that
cannot express a primitive raises Unsupported, or says in the attributes of the class that it wants it decomposed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, List, Optional, Sequence, Tuple

import megengine.functional as F
import numpy as np
from megengine import Tensor

from . import arithmetic, decompositions
from .emission import Emission, size_of
from .values import Array, Convolved, Operand, Shape, Unsupported, Value, constant


class Primitives(Emission):
    """What handlers call. Weights are arrays: (out, in / groups, *kernel), transposed convolutions (in, out / groups, *kernel)."""

    format = ""
    """The format's name, for messages."""
    convolution_ranks: Tuple[int, ...] = (2,)
    """The numbers of spatial axes for which the format has convolutions; others are decomposed."""
    native: Tuple[str, ...] = ()
    """What the format has operations for, of: bicubic, cumsum, erf, exclusive_average, gather,
    grouped_deconvolution, resize, softmax (over any axis)."""

    answer: Optional[Tensor] = None
    """What the next convolution gives, where MegEngine has computed it already: nothing else takes as long."""

    # Elementwise -----------------------------------------------------------------------------------------------------

    def binary(self, kind: str, a: Operand, b: Operand) -> Value:
        """``add sub mul div max min pow``, and the comparisons and logical operations of :mod:`arithmetic`."""
        result = arithmetic.BINARY[kind](_raw(a), _raw(b))
        left, right = constant(a), constant(b)
        if left.constant and right.constant:
            return Value(result)
        dtype = arithmetic.operand_type(kind, left, right, result)
        left, right = self.cast(left, dtype), self.cast(right, dtype)
        return self.emit_binary(kind, self._ranked(left, result.ndim), self._ranked(right, result.ndim), result)

    def _ranked(self, value: Value, ndim: int) -> Value:
        """The operand with the result's number of dimensions; a constant of one element without any."""
        if value.constant and size_of(value.shape) == 1:
            return constant(value.array.reshape(()))
        return value if value.ndim == ndim else self.reshape(value, (1,) * (ndim - value.ndim) + value.shape)

    def add(self, a: Operand, b: Operand) -> Value:
        """``a + b``."""
        return self.binary("add", a, b)

    def sub(self, a: Operand, b: Operand) -> Value:
        """``a - b``."""
        return self.binary("sub", a, b)

    def mul(self, a: Operand, b: Operand) -> Value:
        """``a * b``."""
        return self.binary("mul", a, b)

    def div(self, a: Operand, b: Operand) -> Value:
        """``a / b``."""
        return self.binary("div", a, b)

    def unary(self, kind: str, x: Value, slope: float = 0.0) -> Value:
        """One of :data:`arithmetic.UNARY`; ``slope`` is that of ``leaky_relu``."""
        result = arithmetic.UNARY[kind](x.tensor, slope) if kind == "leaky_relu" else arithmetic.UNARY[kind](x.tensor)
        return Value(result) if x.constant else self.emit_unary(kind, x, result, slope)

    def erf(self, x: Value) -> Value:
        """The error function."""
        if "erf" in self.native and not x.constant:
            return self.emit_unary("erf", x, arithmetic.erf(x.tensor), 0.0)
        return decompositions.erf(self, x)

    def cast(self, x: Value, dtype: Any) -> Value:
        """``x`` in another type."""
        if x.dtype == np.dtype(dtype):
            return x
        result = x.tensor.astype(dtype)
        return Value(result) if x.constant else self.emit_cast(x, result)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """``a`` where the condition (bool) holds, else ``b``."""
        result = Tensor(np.where(condition.array, a.array, b.array))
        if condition.constant and a.constant and b.constant:
            return Value(result)
        operands = [self._ranked(self.cast(value, result.dtype), result.ndim) for value in (a, b)]
        return self.emit_select(self._ranked(condition, result.ndim), *operands, result)

    # Shape -----------------------------------------------------------------------------------------------------------

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The elements in the same order in another shape; one length may be -1."""
        shape = tuple(int(length) for length in shape)
        result = F.reshape(x.tensor, shape) if shape else Tensor(x.array.reshape(()))
        if x.constant:
            return Value(result)
        return x if Value(result).shape == x.shape else self.emit_reshape(x, result)

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        """The axes in another order."""
        order = tuple(int(axis) % x.ndim for axis in order)
        result = F.transpose(x.tensor, order)
        if x.constant:
            return Value(result)
        moved = [axis for axis in order if x.shape[axis] != 1]
        if moved == sorted(moved):
            return self.reshape(x, Value(result).shape)
        return self.emit_transpose(x, order, result)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """The values one after another along an axis."""
        axis %= values[0].ndim
        values = [value for value in values if value.shape[axis]]
        result = F.concat([value.tensor for value in values], axis)
        if all(value.constant for value in values):
            return Value(result)
        return (
            values[0]
            if len(values) == 1
            else self.emit_concat([self.cast(v, result.dtype) for v in values], axis, result)
        )

    def slice(self, x: Value, axis: int, start: Optional[int], stop: Optional[int], step: Optional[int] = 1) -> Value:
        """What ``x[start:stop:step]`` gives on one axis."""
        axis %= x.ndim
        positions = range(*slice(start, stop, step).indices(x.shape[axis]))
        if not positions:
            raise Unsupported("the slice is empty")
        if positions == range(x.shape[axis]):
            return x
        index: List[Any] = [slice(None)] * x.ndim
        index[axis] = slice(positions.start, positions.stop if positions.stop >= 0 else None, positions.step)
        result = x.tensor[tuple(index)]
        return Value(result) if x.constant else self.emit_slice(x, axis, positions, result)

    def split(self, x: Value, bounds: Sequence[int], axis: int) -> List[Value]:
        """The parts of ``x`` between one bound and the next, along an axis."""
        return [self.slice(x, axis, start, stop) for start, stop in zip(bounds[:-1], bounds[1:])]

    def pad(self, x: Value, widths: Sequence[Tuple[int, int]], fill: float) -> Value:
        """``widths`` elements before and after, on every axis; negative widths cut off."""
        for axis, (before, after) in enumerate(widths):
            x = self.slice(x, axis, max(-before, 0), x.shape[axis] - max(-after, 0))
        widths = [(max(before, 0), max(after, 0)) for before, after in widths]
        if not any(before or after for before, after in widths):
            return x
        result = Tensor(np.pad(x.array, widths, constant_values=x.dtype.type(fill)))
        return Value(result) if x.constant else self.emit_pad(x, widths, fill, result)

    def gather(self, x: Value, indices: Value, axis: int) -> Value:
        """``numpy.take(x, indices, axis)``; indices are int32 and not negative."""
        axis %= x.ndim
        result = Tensor(np.take(x.array, indices.array, axis=axis))
        if x.constant and indices.constant:
            return Value(result)
        if indices.constant and indices.ndim == 1:
            runs = decompositions.runs(indices.array)
            if len(runs) <= 4 or "gather" not in self.native:
                return self.concat([self.slice(x, axis, start, stop) for start, stop in runs], axis)
        return self.emit_gather(x, indices, axis, result)

    # Reductions ------------------------------------------------------------------------------------------------------

    def reduce(self, kind: str, x: Value, axes: Sequence[int], keepdims: bool) -> Value:
        """``mean sum max min prod`` over some axes."""
        axes = sorted(axis % x.ndim for axis in axes)
        result = arithmetic.REDUCE[kind](x.tensor, axes)
        y = Value(result) if x.constant else self.emit_reduce(kind, x, axes, result)
        return y if keepdims else self.reshape(y, [n for axis, n in enumerate(x.shape) if axis not in axes])

    def arg(self, kind: str, x: Value, axis: int) -> Value:
        """``max min``: the first position of it along an axis, as int32, without the axis."""
        axis %= x.ndim
        pick = np.argmax if kind == "max" else np.argmin
        result = Tensor(pick(x.array, axis=axis).astype(np.int32))
        return Value(result) if x.constant else self.emit_arg(kind, x, axis, result)

    def top(self, x: Value, count: int, largest: bool) -> Tuple[Value, Value]:
        """The first ``count`` values of the sorted last axis, and their positions as int32."""
        order = np.argsort(-x.array if largest else x.array, axis=-1, kind="stable")[..., :count].astype(np.int32)
        values, positions = Tensor(np.take_along_axis(x.array, order, -1)), Tensor(order)
        return (Value(values), Value(positions)) if x.constant else self.emit_top(x, count, largest, values, positions)

    def softmax(self, x: Value, axis: int) -> Value:
        """exp(x) over its sum along an axis."""
        axis %= x.ndim
        if axis != x.ndim - 1 and "softmax" not in self.native:
            order = [other for other in range(x.ndim) if other != axis] + [axis]
            return self.transpose(self.softmax(self.transpose(x, order), -1), np.argsort(order))
        result = F.softmax(x.tensor, axis)
        return Value(result) if x.constant else self.emit_softmax(x, axis, result)

    def cumulate(self, x: Value, axis: int) -> Value:
        """Running sums along an axis."""
        axis %= x.ndim
        if "cumsum" in self.native and not x.constant:
            return self.emit_cumsum(x, axis, F.cumsum(x.tensor, axis))
        return decompositions.cumulate(self, x, axis)

    # Products --------------------------------------------------------------------------------------------------------

    def linear(self, x: Value, weight: Array, bias: Optional[Array]) -> Value:
        """``x @ weight.T + bias`` over the last axis; ``weight`` is (out, in)."""
        rows = x if x.ndim == 2 else self.reshape(x, (-1, x.shape[-1]))
        result = F.linear(rows.tensor, Tensor(weight), None if bias is None else Tensor(bias))
        y = Value(result) if x.constant else self.emit_linear(rows, weight, bias, result)
        return self.reshape(y, (*x.shape[:-1], weight.shape[0]))

    def matmul(self, a: Value, b: Value) -> Value:
        """``a @ b`` over the last two axes; both have at least two."""
        if b.constant and b.ndim == 2 and not a.constant:
            return self.linear(a, np.ascontiguousarray(b.array.T), None)
        result = Tensor(np.matmul(a.array, b.array))
        return Value(result) if a.constant and b.constant else self.emit_matmul(a, b, result)

    def convolution(
        self,
        x: Value,
        weight: Array,
        bias: Optional[Array],
        stride: Shape,
        padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Value:
        """Cross-correlation over one to three spatial axes with symmetric padding."""
        answer, self.answer = self.answer, None
        if weight.ndim - 2 not in self.convolution_ranks:
            return decompositions.convolution(self, x, weight, bias, stride, padding, dilation, groups)
        sizes = (stride, padding, dilation)
        result = arithmetic.convolution(x.tensor, weight, bias, *sizes, groups, answer)
        y = self.emit_convolution(x, weight, bias, stride, padding, dilation, groups, result)
        y.origin = Convolved(x, weight, bias, stride, padding, dilation, groups, self.path)
        return y

    def deconvolution(
        self,
        x: Value,
        weight: Array,
        bias: Optional[Array],
        stride: Shape,
        padding: Shape,
        output_padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Value:
        """Transposed convolution over two or three spatial axes."""
        if groups > 1 and "grouped_deconvolution" not in self.native:
            parts = decompositions.groups(self, x, weight, bias, groups)
            return self.concat(
                [self.deconvolution(*part, stride, padding, output_padding, dilation, 1) for part in parts], 1
            )
        if not self.takes_deconvolution(weight, padding, output_padding, dilation):
            return decompositions.deconvolution(
                self, x, weight, bias, stride, padding, output_padding, dilation, groups
            )
        result = arithmetic.deconvolution(x.tensor, weight, bias, stride, padding, output_padding, dilation, groups)
        return self.emit_deconvolution(x, weight, bias, stride, padding, output_padding, dilation, groups, result)

    def takes_deconvolution(self, weight: Array, padding: Shape, output_padding: Shape, dilation: Shape) -> bool:
        """Whether the format has this transposed convolution; else it becomes a convolution of a spread-out input."""
        return weight.ndim == 4

    def pool(self, kind: str, x: Value, kernel: Shape, stride: Shape, padding: Shape, exclusive: bool = False) -> Value:
        """``max`` or ``mean`` over windows of the last two axes of four; ``exclusive``: the mean leaves padding out."""
        exclusive = exclusive and any(padding)
        if kind == "mean" and exclusive and "exclusive_average" not in self.native:
            return decompositions.exclusive_average(self, x, kernel, stride, padding)
        result = arithmetic.pool(kind, x.tensor, kernel, stride, padding, exclusive)
        return self.emit_pool(kind, x, kernel, stride, padding, exclusive, result)

    def resize(self, x: Value, size: Shape, kind: str, align_corners: bool) -> Value:
        """``nearest``, ``bilinear`` or ``bicubic`` over the last two axes of four."""
        if "resize" not in self.native or (kind == "bicubic" and "bicubic" not in self.native):
            return decompositions.resize(self, x, size, kind, align_corners)
        return self.emit_resize(x, size, kind, align_corners, arithmetic.resize(x.tensor, size, kind, align_corners))

    # What a format implements ----------------------------------------------------------------------------------------

    @abstractmethod
    def take(self, x: Value, name: str) -> None:
        """Declares ``x`` as an input of the graph."""

    @abstractmethod
    def give(self, x: Value) -> Any:
        """The tensor that is a result of the graph: made by an operation of its own, in the layout of results."""

    @abstractmethod
    def stand_in(self, tensor: Tensor) -> Value:
        """A value as if the graph computed it: what follows an unsupported operation is lowered on it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("emit_"):
            what = name[5:].replace("_", " ")
            raise Unsupported(f"{self.format} has no operation for {what}")
        raise AttributeError(name)


def _raw(operand: Operand) -> Any:
    return operand.tensor if isinstance(operand, Value) else operand
