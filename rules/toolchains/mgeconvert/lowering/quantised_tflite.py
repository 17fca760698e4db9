"""Emission of TFLite for networks trained for quantisation.

A value may be stored in float, in int8, or in both, each in either order of axes. An operation that only moves numbers
takes int8 and gives int8 on the same grid; a quantised layer goes from grid to grid; anything else asks for floats,
which are dequantised where there are none yet. So what the training left in float is computed in float.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from megengine import Tensor
from mgeconvert.backend.ir_to_tflite.tflite.TensorType import TensorType
from mgeconvert.converter_ir.ir_tensor import IRTensor

from .grid import Grid
from .quantised_steps import Layer, Steps, exact, plain
from .tflite_file import Scales
from .to_tflite import NHWC, PLAIN, TfliteEmission
from .values import Array, Shape, Value

INT8 = {PLAIN: "int8", NHWC: "int8-nhwc"}
"""Under which keys a value's int8 tensors are stored."""
RELU = 1
"""ActivationFunctionType of the schema."""
_BETWEEN_GRIDS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL"}
"""Operations whose result is on another grid than what they are given."""


@dataclass(frozen=True)
class _Integers:
    """How operations are written: tensors on the grid ``inside``, results of layers on ``out``."""

    inside: Grid
    out: Grid
    relu: bool = False
    steps: Optional[Steps] = None
    channels: int = 0
    """The axis of the results in the weights as they are stored."""


class QuantisedTfliteEmission(TfliteEmission):
    """``between`` says what becomes of averages and relu6 of int8 values, whose results are on no grid: ``float`` as the
    network was trained, ``int8`` rounded to the grid of what they are given. ``exact``: layers read their input in 16
    bits, finer than its grid, so that their sums are rounded as in the network as trained."""

    def __init__(self, between: str = "float", exact: bool = True) -> None:
        super().__init__()
        self.between = between
        self.exact = exact
        self._integers: Optional[_Integers] = None
        self._grids: Dict[int, Grid] = {}
        self._widened: Dict[Tuple[int, int], IRTensor] = {}
        self._numbers_on_grids: Dict[Tuple[Any, ...], IRTensor] = {}

    # Tensors ---------------------------------------------------------------------------------------------------------

    def is_int8(self, x: Value) -> bool:
        """Whether the value is stored in int8."""
        return self.grid(x) is not None

    def grid(self, x: Value) -> Optional[Grid]:
        """The grid of a value that is stored in integers."""
        tensors = [x.stored[key] for key in INT8.values() if key in x.stored]
        return self._grids[id(tensors[0])] if tensors else None

    def _on(self, tensor: IRTensor, grid: Grid) -> IRTensor:
        tensor.scale, tensor.zero_point, tensor.np_dtype = grid.scale, grid.stored_zero, grid.storage
        self._grids[id(tensor)] = grid
        return tensor

    def tensor(self, shape: Any, dtype: Any = np.float32, name: str = "") -> IRTensor:
        if self._integers is None or np.dtype(dtype) != np.float32:
            return super().tensor(shape, dtype, name)
        return self._on(super().tensor(shape, self._integers.inside.storage, name), self._integers.inside)

    def constant(self, array: Array, role: str = "constant") -> IRTensor:
        """In integers: weights on their grid, biases in units of the product, other floats on the grid inside."""
        if self._integers is None or np.asarray(array).dtype != np.float32:
            return super().constant(array, role)
        inside, steps, channels = self._integers.inside, self._integers.steps, self._integers.channels
        if steps is None or role not in ("weight", "bias"):
            return self._whole(inside.stored(array), inside.scale, inside.stored_zero, role)
        if role == "bias":
            return self._whole(steps.bias, _scales(steps.units, 0), 0, role)
        order = (1, 2, 3, 0) if channels else (0, 2, 3, 1)
        stored = steps.weight.transpose(order) if steps.weight.ndim == 4 else steps.weight
        return self._whole(stored, _scales(steps.scales, channels), 0, role)

    def _whole(self, array: Array, scale: Any, zero: int, role: str) -> IRTensor:
        """A constant of integers; equal ones of one scale are stored once."""
        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, scale, zero, hashlib.blake2b(array.tobytes(), digest_size=16).digest())
        if key not in self._numbers_on_grids:
            tensor = IRTensor("", array.shape, array.dtype.type, np_data=array, axis=None)
            tensor.scale, tensor.zero_point, tensor.np_dtype = scale, zero, array.dtype.type
            self._numbers_on_grids[key] = tensor
            self._unnamed.append((tensor, role))
        return self._numbers_on_grids[key]

    def _floated(self, x: Value) -> None:
        """Stores the value in float, too."""
        if self._integers is None and PLAIN not in x.stored and NHWC not in x.stored:
            for layout, key in INT8.items():
                if key in x.stored:
                    x.stored[layout] = self.tensor(x.stored[key].shape)
                    self.node("DEQUANTIZE", [x.stored[key]], [x.stored[layout]])
                    return

    def _in(self, x: Value, layout: str) -> IRTensor:
        self._floated(x)
        return super()._in(x, layout)

    def _layout(self, *values: Value) -> str:
        for value in values:
            self._floated(value)
        return super()._layout(*values)

    def _op(self, kind: str, inputs: Sequence[IRTensor], result: Tensor, layout: str = PLAIN, **options: Any) -> Value:
        if self._integers is None or kind not in _BETWEEN_GRIDS:
            return super()._op(kind, inputs, result, layout, **options)
        if self._integers.relu:
            options["FusedActivationFunction"] = RELU
        if self._integers.inside.storage is np.int16 and self._integers.steps:
            options["QuantizedBiasType"] = TensorType.INT32  # else newer kernels take it for 64 bits
        y = super()._op(kind, inputs, result, layout, **options)
        for tensor in y.stored.values():
            self._on(tensor, self._integers.out)
        return y

    # From grid to grid -----------------------------------------------------------------------------------------------

    def quantise(self, x: Value, grid: Grid, result: Tensor) -> Value:
        """The value on a grid; ``result`` is what MegEngine makes of it."""
        there = self.grid(x)
        if there == grid:
            return x
        if there is None or there.scale < grid.scale / 2:  # int8 to int8 would round twice
            layout = self._layout(x)
            source = self._in(x, layout)
        else:
            layout = NHWC if INT8[NHWC] in x.stored else PLAIN
            source = x.stored[INT8[layout]]
        output = self._on(super().tensor(source.shape, np.int8), grid)
        self.node("QUANTIZE", [source], [output])
        return Value(result, {INT8[layout]: output})

    def _written(self, how: _Integers, values: Sequence[Value], emit: Callable[..., Value]) -> Value:
        """What ``emit`` makes of int8 values, in int8."""
        views = []
        for value in values:
            held = {layout: value.stored[key] for layout, key in INT8.items() if key in value.stored}
            views.append(Value(value.tensor, held))
        before, self._integers = self._integers, how
        try:
            y = emit(*views)
        finally:
            self._integers = before
        for value, view in zip(values, views):
            value.stored.update({INT8[layout]: tensor for layout, tensor in view.stored.items()})
        return Value(y.tensor, {INT8[layout]: tensor for layout, tensor in y.stored.items()})

    def int8_convolution(
        self, x: Value, layer: Layer, stride: Shape, padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:
        """A convolution of an int8 value to another grid."""
        weight, bias = layer.weight, layer.bias
        channels = 3 if self._is_depthwise(x, weight, groups) else 0
        # The kernels of many groups are TFLite's reference, which rounds halves away from zero.
        return self._through(
            layer, x, NHWC, True, groups == 1, channels,
            lambda view: self.emit_convolution(view, weight, bias, stride, padding, dilation, groups, result),
        )  # fmt: skip

    def _is_depthwise(self, x: Value, weight: Array, groups: int) -> bool:
        """TFLite's depthwise kernel in 16 bits rounds its multiplier to 15 bits: an exact one is a convolution in groups."""
        whole = self._integers is not None or self.is_int8(x)
        return not (self.exact and whole) and super()._is_depthwise(x, weight, groups)

    def int8_linear(self, x: Value, layer: Layer, result: Tensor) -> Value:
        """``x @ weight.T + bias`` of an int8 value to another grid."""
        weight, bias = layer.weight, layer.bias
        rows = x if x.ndim == 2 else self.reshape(x, (-1, x.shape[-1]))
        flat = result.reshape(-1, weight.shape[0])
        y = self._through(layer, rows, PLAIN, False, True, 0, lambda view: self.emit_linear(view, weight, bias, flat))
        return self.reshape(y, result._tuple_shape)

    def _through(
        self, layer: Layer, x: Value, layout: str, by_channel: bool, halves_up: bool, channels: int,
        emit: Callable[[Value], Value],
    ) -> Value:  # fmt: skip
        """What ``emit`` makes of an int8 value by a layer, on the layer's grid."""
        if not self.exact:
            return self._written(_Integers(layer.inside, layer.out, layer.relu, plain(layer), channels), [x], emit)
        factor = layer.finest()
        steps = exact(layer, factor, by_channel, halves_up)
        wide = _Integers(layer.inside.widened(factor), layer.out.widened(1), layer.relu, steps, channels)
        y = self._written(wide, [self._wide(x, layout, factor)], emit)
        return self.quantise(y, layer.out, y.tensor)

    def _wide(self, x: Value, layout: str, factor: int) -> Value:
        """An int8 value in 16 bits, ``factor`` times as fine."""
        grid = self.grid(x)
        assert grid is not None
        self._moved(x, lambda view: (self._in(view, layout), view)[1])
        layout = layout if x.ndim == 4 else PLAIN
        source, wide = x.stored[INT8[layout]], grid.widened(factor)
        if (id(source), factor) not in self._widened:
            if grid.stored_zero:  # a cast keeps the integer, not the number
                same = super().tensor(source.shape)
                self.node("DEQUANTIZE", [source], [same])
            else:
                same = self._on(super().tensor(source.shape, np.int16), grid.widened(1))
                self.node("CAST", [source], [same])
            finer = self._on(super().tensor(source.shape, np.int16), wide)
            self.node("QUANTIZE", [same], [finer])
            self._widened[id(source), factor] = finer
        return Value(x.tensor, {INT8[layout]: self._widened[id(source), factor]})

    def int8_binary(self, kind: str, a: Value, b: Value, result: Tensor, out: Grid, relu: bool) -> Value:
        """A sum, a difference or a product of int8 values, each on its grid."""
        ndim = len(result._tuple_shape)
        a, b = (x if x.ndim == ndim else self.reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
        layout = NHWC if any(INT8[NHWC] in x.stored for x in (a, b)) else PLAIN
        for x in (a, b):
            self._moved(x, lambda view: (self._in(view, layout), view)[1])  # each is turned on its own grid
        wide = self.exact and kind == "mul"
        if wide:
            a, b = (self._wide(x, layout, _finest(self.grid(x))) for x in (a, b))
        inside = self.grid(a)
        assert inside is not None
        how = _Integers(inside, out.widened(1) if wide else out, relu)
        y = self._written(how, [a, b], lambda *both: self._both(kind, *both, result))
        return self.quantise(y, out, result)

    def _both(self, kind: str, a: Value, b: Value, result: Tensor) -> Value:
        return super().emit_binary(kind, a, b, result)

    # On one grid -----------------------------------------------------------------------------------------------------

    def _moved(self, x: Value, emit: Callable[[Value], Value]) -> Value:
        """What ``emit`` makes of a value: in int8 on the same grid, where it is int8."""
        grid = self.grid(x)
        return emit(x) if grid is None or self._integers else self._written(_Integers(grid, grid), [x], emit)

    def emit_reshape(self, x: Value, result: Tensor) -> Value:
        emit = super().emit_reshape
        return self._moved(x, lambda view: emit(view, result))

    def emit_transpose(self, x: Value, order: Shape, result: Tensor) -> Value:
        emit = super().emit_transpose
        return self._moved(x, lambda view: emit(view, order, result))

    def emit_slice(self, x: Value, axis: int, positions: range, result: Tensor) -> Value:
        emit = super().emit_slice
        return self._moved(x, lambda view: emit(view, axis, positions, result))

    def emit_gather(self, x: Value, indices: Value, axis: int, result: Tensor) -> Value:
        emit = super().emit_gather
        return self._moved(x, lambda view: emit(view, indices, axis, result))

    def emit_pad(self, x: Value, widths: Sequence[Tuple[int, int]], fill: float, result: Tensor) -> Value:
        emit = super().emit_pad
        if fill != 0.0 and not self._integers:  # any other number may be on no grid
            return emit(x, widths, fill, result)
        return self._moved(x, lambda view: emit(view, widths, fill, result))

    def emit_unary(self, kind: str, x: Value, result: Tensor, slope: float) -> Value:
        emit = super().emit_unary
        if kind == "relu" or (kind == "relu6" and self.between == "int8"):
            return self._moved(x, lambda view: emit(kind, view, result, slope))
        return emit(kind, x, result, slope)

    def emit_reduce(self, kind: str, x: Value, axes: Sequence[int], result: Tensor) -> Value:
        emit = super().emit_reduce
        if kind in ("max", "min") or (kind == "mean" and self.between == "int8"):
            return self._moved(x, lambda view: emit(kind, view, axes, result))
        return emit(kind, x, axes, result)

    def pool(self, kind: str, x: Value, kernel: Shape, stride: Shape, padding: Shape, exclusive: bool = False) -> Value:
        pool = super().pool
        if kind == "max" or (self.between == "int8" and not any(padding)):
            return self._moved(x, lambda view: pool(kind, view, kernel, stride, padding, exclusive))
        return pool(kind, x, kernel, stride, padding, exclusive)

    def emit_resize(self, x: Value, size: Shape, kind: str, align_corners: bool, result: Tensor) -> Value:
        emit = super().emit_resize
        if kind == "nearest":
            return self._moved(x, lambda view: emit(view, size, kind, align_corners, result))
        return emit(x, size, kind, align_corners, result)

    def emit_concat(self, values: Sequence[Value], axis: int, result: Tensor) -> Value:
        emit = super().emit_concat
        grids: List[Optional[Grid]] = [self.grid(value) for value in values]
        first = grids[0]
        if first is None or self._integers or any(grid != first for grid in grids):
            return emit(values, axis, result)
        return self._written(_Integers(first, first), values, lambda *views: emit(views, axis, result))


def _scales(scales: Array, axis: int) -> Any:
    """One scale where all are equal."""
    return float(scales[0]) if (scales == scales[0]).all() else Scales(tuple(map(float, scales)), axis)


def _finest(grid: Optional[Grid]) -> int:
    """How much finer, a power of two, the factor of a product may be in 16 bits."""
    assert grid is not None
    return 1 << ((32768 // grid.reach).bit_length() - 1)
