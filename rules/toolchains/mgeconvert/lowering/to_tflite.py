"""Emission of TFLite. Images are NHWC there, so a value of four dimensions may be stored in either order, or in both."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from megengine import Tensor
from mgeconvert.backend.ir_to_tflite.tflite.TensorType import TensorType
from mgeconvert.converter_ir.ir_tensor import IRTensor

from . import arithmetic, decompositions
from .emission import size_of
from .primitives import Primitives
from .values import Array, Shape, Unsupported, Value, number

PLAIN, NHWC = "plain", "nhwc"
TO_NHWC, TO_PLAIN = (0, 2, 3, 1), (0, 3, 1, 2)
PLACE = {0: 0, 1: 3, 2: 1, 3: 2}
"""Where each of MegEngine's four axes stands in NHWC."""
SAME, VALID = 0, 1
"""TFLite's two ways to pad; anything else is a pad of its own before."""

_UNARY = {
    "relu": "RELU", "relu6": "RELU6", "leaky_relu": "LEAKY_RELU", "sigmoid": "LOGISTIC", "tanh": "TANH", "exp": "EXP",
    "log": "LOG", "abs": "ABS", "neg": "NEG", "floor": "FLOOR", "ceil": "CEIL", "sin": "SIN", "cos": "COS",
    "sqrt": "SQRT", "rsqrt": "RSQRT", "not": "LOGICAL_NOT",
}  # fmt: skip
_BINARY = {
    "add": "ADD", "sub": "SUB", "mul": "MUL", "div": "DIV", "max": "MAXIMUM", "min": "MINIMUM", "pow": "POW",
    "equal": "EQUAL", "not_equal": "NOT_EQUAL", "less": "LESS", "less_equal": "LESS_EQUAL", "greater": "GREATER",
    "greater_equal": "GREATER_EQUAL", "and": "LOGICAL_AND", "or": "LOGICAL_OR", "xor": "NOT_EQUAL",
}  # fmt: skip
_REDUCE = {"mean": "MEAN", "sum": "SUM", "max": "REDUCE_MAX", "min": "REDUCE_MIN", "prod": "REDUCE_PROD"}


class TfliteEmission(Primitives):
    """Tensors of the graph have the file's own shapes and data."""

    format = "TFLite"
    native = ("gather", "resize", "softmax")

    # Tensors ---------------------------------------------------------------------------------------------------------

    def take(self, x: Value, name: str) -> None:
        layout = NHWC if x.ndim == 4 else PLAIN
        x.stored[layout] = self.tensor(_stored(x.shape, layout), x.dtype, name)
        self.graph.add_net_inputs(x.stored[layout])

    def give(self, x: Value) -> IRTensor:
        layout = NHWC if x.ndim == 4 else PLAIN
        source = self._in(self._computed(x) if x.constant else x, layout)
        if self.to_give(source):
            return source
        copy = self.tensor(source.shape, source.dtype)
        self.node("RESHAPE", [source, self._numbers(source.shape)], [copy])
        return copy

    def _computed(self, x: Value) -> Value:
        """A constant as the sum of itself and zero times the shape of an input: results must be computed."""
        shape = self.tensor((len(self.graph.graph_inputs[0].shape),), np.int32)
        self.node("SHAPE", [self.graph.graph_inputs[0]], [shape], OutType=TensorType.INT32)
        lengths = Value(Tensor(np.asarray(self.graph.graph_inputs[0].shape, np.int32)), {PLAIN: shape})
        nothing = self.cast(self.reduce("sum", self.mul(lengths, np.int32(0)), [0], True), x.dtype)
        return self.reshape(self.add(self.reshape(x, (-1,)), nothing), x.shape)

    def stand_in(self, tensor: Tensor) -> Value:
        return Value(tensor, {PLAIN: self.tensor(tensor._tuple_shape, tensor.dtype)})

    def _numbers(self, numbers: Any) -> IRTensor:
        return self.constant(np.asarray(numbers, np.int32))

    def _in(self, x: Value, layout: str) -> IRTensor:
        """The value in one of the two orders."""
        layout = layout if x.ndim == 4 else PLAIN
        if x.dtype == np.float16:
            raise Unsupported("TFLite computes no float16", "float32")
        if x.constant:
            return self.constant(x.array.transpose(TO_NHWC) if layout == NHWC else x.array)
        if layout not in x.stored:
            source = x.stored[PLAIN if layout == NHWC else NHWC]
            turned = self.tensor(_stored(x.shape, layout), x.dtype)
            if x.shape[1] == 1 or x.shape[2] * x.shape[3] == 1:
                self.node("RESHAPE", [source, self._numbers(turned.shape)], [turned])
            else:
                self.node("TRANSPOSE", [source, self._numbers(TO_NHWC if layout == NHWC else TO_PLAIN)], [turned])
            x.stored[layout] = turned
        return x.stored[layout]

    def _layout(self, *values: Value) -> str:
        """The order in which most is stored already."""
        stored = [value.stored for value in values if not value.constant]
        four = all(value.ndim in (0, 4) for value in values)
        return NHWC if four and any(NHWC in s for s in stored) and not all(PLAIN in s for s in stored) else PLAIN

    def _op(self, kind: str, inputs: Sequence[IRTensor], result: Tensor, layout: str = PLAIN, **options: Any) -> Value:
        """Adds a node whose one result is stored in the given order."""
        layout = layout if len(result._tuple_shape) == 4 else PLAIN
        output = self.tensor(_stored(result._tuple_shape, layout), result.dtype)
        self.node(kind, inputs, [output], **options)
        return Value(result, {layout: output})

    # Elementwise -----------------------------------------------------------------------------------------------------

    def emit_binary(self, kind: str, a: Value, b: Value, result: Tensor) -> Value:
        shape = tuple(result._tuple_shape)
        if len(shape) > 4:
            merged = _merged(a.shape, b.shape, shape)
            if len(merged) > 4:
                raise Unsupported(f"TFLite broadcasts over four axes, here are {len(merged)}", "a reshape before it")
            parts = [x if x.ndim == 0 else self.reshape(x, _lengths(x.shape, merged)) for x in (a, b)]
            return self.reshape(self.binary(kind, *parts), shape)
        layout = self._layout(a, b)
        return self._op(_BINARY[kind], [self._in(a, layout), self._in(b, layout)], result, layout)

    def emit_unary(self, kind: str, x: Value, result: Tensor, slope: float) -> Value:
        if kind == "reciprocal":
            return self.emit_binary("div", number(1.0), x, result)
        layout = self._layout(x)
        return self._op(_UNARY[kind], [self._in(x, layout)], result, layout, **({"Alpha": slope} if slope else {}))

    def emit_cast(self, x: Value, result: Tensor) -> Value:
        layout = self._layout(x)
        return self._op("CAST", [self._in(x, layout)], result, layout)

    def emit_select(self, condition: Value, a: Value, b: Value, result: Tensor) -> Value:
        if result.ndim > 4:
            shape = tuple(result._tuple_shape)
            flat = [v if v.shape in ((), shape) else _spread(self, v, shape) for v in (condition, a, b)]
            return self.reshape(self.select(*(v if v.ndim == 0 else self.reshape(v, (-1,)) for v in flat)), shape)
        layout = self._layout(condition, a, b)
        return self._op("SELECT_V2", [self._in(value, layout) for value in (condition, a, b)], result, layout)

    # Shape -----------------------------------------------------------------------------------------------------------

    def emit_reshape(self, x: Value, result: Tensor) -> Value:
        return self._op("RESHAPE", [self._in(x, PLAIN), self._numbers(result._tuple_shape)], result)

    def emit_transpose(self, x: Value, order: Shape, result: Tensor) -> Value:
        if x.ndim == 4 and PLAIN not in x.stored:
            source, physical = x.stored[NHWC], [PLACE[axis] for axis in order]
            if physical == [0, 1, 2, 3]:
                return self._op("RESHAPE", [source, self._numbers(result._tuple_shape)], result)
            return self._op("TRANSPOSE", [source, self._numbers(physical)], result)
        runs = _runs(x.shape, order)
        if len(runs) < x.ndim and x.ndim > 4:
            ordered = sorted(runs)
            joined = self.reshape(x, [size_of(tuple(x.shape[axis] for axis in run)) for run in ordered])
            return self.reshape(self.transpose(joined, [ordered.index(run) for run in runs]), result._tuple_shape)
        if x.ndim > 6:
            raise Unsupported(
                f"TFLite transposes up to six axes, here are {x.ndim}", "two transposes with a reshape between"
            )
        return self._op("TRANSPOSE", [self._in(x, PLAIN), self._numbers(order)], result)

    def emit_concat(self, values: Sequence[Value], axis: int, result: Tensor) -> Value:
        layout = self._layout(*values)
        place = PLACE[axis] if layout == NHWC else axis
        return self._op("CONCATENATION", [self._in(value, layout) for value in values], result, layout, Axis=place)

    def _around(self, x: Value, axis: int) -> Value:
        """The value with three axes: before, at, and behind one of more than four."""
        return self.reshape(x, (size_of(x.shape[:axis]), x.shape[axis], size_of(x.shape[axis + 1 :])))

    def emit_slice(self, x: Value, axis: int, positions: range, result: Tensor) -> Value:
        if x.ndim > 4:
            stop = positions.stop if positions.stop >= 0 else None
            cut = self.slice(self._around(x, axis), 1, positions.start, stop, positions.step)
            return self.reshape(cut, result._tuple_shape)
        layout = self._layout(x)
        source, place = self._in(x, layout), PLACE[axis] if layout == NHWC and x.ndim == 4 else axis
        starts, stops, steps = [0] * x.ndim, list(source.shape), [1] * x.ndim
        starts[place], stops[place], steps[place] = positions.start, max(positions.stop, 0), positions.step
        # A mask says that the stop is the end itself, which a backward slice to the first element needs.
        mask = 1 << place if positions.stop < 0 else 0
        ends = [self._numbers(end) for end in (starts, stops, steps)]
        return self._op("STRIDED_SLICE", [source, *ends], result, layout, EndMask=mask)

    def emit_pad(self, x: Value, widths: Sequence[Tuple[int, int]], fill: float, result: Tensor) -> Value:
        if x.ndim > 4:
            for axis, (before, after) in enumerate(widths):
                if before or after:
                    shape = (*x.shape[:axis], x.shape[axis] + before + after, *x.shape[axis + 1 :])
                    x = self.reshape(self.pad(self._around(x, axis), [(0, 0), (before, after), (0, 0)], fill), shape)
            return x
        layout = self._layout(x)
        ordered = [widths[axis] for axis in TO_NHWC] if layout == NHWC and x.ndim == 4 else list(widths)
        fills = self.constant(np.asarray([fill], x.dtype))
        return self._op("PADV2", [self._in(x, layout), self._numbers(ordered), fills], result, layout)

    def emit_gather(self, x: Value, indices: Value, axis: int, result: Tensor) -> Value:
        return self._op("GATHER", [self._in(x, PLAIN), self._in(indices, PLAIN)], result, Axis=axis)

    # Reductions ------------------------------------------------------------------------------------------------------

    def emit_reduce(self, kind: str, x: Value, axes: Sequence[int], result: Tensor) -> Value:
        layout = self._layout(x)
        places = [PLACE[axis] for axis in axes] if layout == NHWC and x.ndim == 4 else list(axes)
        return self._op(_REDUCE[kind], [self._in(x, layout), self._numbers(places)], result, layout, KeepDims=True)

    def emit_arg(self, kind: str, x: Value, axis: int, result: Tensor) -> Value:
        return self._op(f"ARG_{kind.upper()}", [self._in(x, PLAIN), self._numbers(axis)], result)

    def emit_top(self, x: Value, count: int, largest: bool, values: Tensor, positions: Tensor) -> Tuple[Value, Value]:
        source = x if largest else self.unary("neg", x)
        outputs = [self.tensor(tensor._tuple_shape, tensor.dtype) for tensor in (values, positions)]
        self.node("TOPK_V2", [self._in(source, PLAIN), self._numbers(count)], outputs)
        found = Value(values if largest else arithmetic.UNARY["neg"](values), {PLAIN: outputs[0]})
        return found if largest else self.unary("neg", found), Value(positions, {PLAIN: outputs[1]})

    def emit_softmax(self, x: Value, axis: int, result: Tensor) -> Value:
        last = x.ndim - 1
        if x.ndim == 4 and axis == 1 and NHWC in x.stored:
            return self._op("SOFTMAX", [x.stored[NHWC]], result, NHWC, Beta=1.0)
        if axis != last:
            order = [other for other in range(x.ndim) if other != axis] + [axis]
            return self.transpose(self.softmax(self.transpose(x, order), -1), np.argsort(order))
        if x.ndim > 4:
            return self.reshape(self.softmax(self.reshape(x, (-1, x.shape[-1])), -1), x.shape)
        return self._op("SOFTMAX", [self._in(x, PLAIN)], result, Beta=1.0)

    # Products --------------------------------------------------------------------------------------------------------

    def _bias(self, bias: Optional[Array], count: int) -> IRTensor:
        return self.constant(np.zeros(count, np.float32) if bias is None else bias, "bias")

    def emit_linear(self, x: Value, weight: Array, bias: Optional[Array], result: Tensor) -> Value:
        operands = [self._in(x, PLAIN), self.constant(weight, "weight"), self._bias(bias, weight.shape[0])]
        return self._op("FULLY_CONNECTED", operands, result)

    def emit_matmul(self, a: Value, b: Value, result: Tensor) -> Value:
        if result.ndim > 5:
            raise Unsupported("TFLite multiplies matrices in up to three batch axes", "a reshape before it")
        return self._op("BATCH_MATMUL", [self._in(a, PLAIN), self._in(b, PLAIN)], result)

    def _padded(self, x: Value, padding: Shape, fill: float) -> Value:
        return self.pad(x, [(0, 0), (0, 0), *((width, width) for width in padding)], fill)

    def _is_depthwise(self, x: Value, weight: Array, groups: int) -> bool:
        """Whether a convolution is written as a depthwise one."""
        return groups > 1 and weight.shape[1] == 1 and groups == x.shape[1]

    def emit_convolution(
        self, x: Value, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:  # fmt: skip
        depthwise = self._is_depthwise(x, weight, groups)
        reach = tuple(spread * (kernel - 1) + 1 for spread, kernel in zip(dilation, weight.shape[2:]))
        same = _is_same(x.shape[2:], result._tuple_shape[2:], reach, stride, padding)
        if any(padding) and not same:
            x = self._padded(x, padding, 0.0)
        kernel = self.constant(weight.transpose((1, 2, 3, 0) if depthwise else TO_NHWC), "weight")
        options: Dict[str, Any] = {
            "Padding": SAME if same else VALID, "StrideH": stride[0], "StrideW": stride[1],
            "DilationHFactor": dilation[0], "DilationWFactor": dilation[1],
        }  # fmt: skip
        operands = [self._in(x, NHWC), kernel, self._bias(bias, weight.shape[0])]
        if depthwise:
            options["DepthMultiplier"] = weight.shape[0] // groups
        return self._op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", operands, result, NHWC, **options)

    def takes_deconvolution(self, weight: Array, padding: Shape, output_padding: Shape, dilation: Shape) -> bool:
        undilated = weight.ndim == 4 and set(dilation) == {1}
        return undilated and all(extra <= pad for extra, pad in zip(output_padding, padding))

    def emit_deconvolution(
        self, x: Value, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, output_padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:  # fmt: skip
        height, width = result._tuple_shape[2:]
        same = not any(output_padding) and (height, width) == (x.shape[2] * stride[0], x.shape[3] * stride[1])
        if not same and any(padding):  # everything, of which the padding is cut off
            y = self.deconvolution(x, weight, bias, stride, (0, 0), (0, 0), dilation, 1)
            y = self.slice(y, 2, padding[0], padding[0] + height)
            return self.slice(y, 3, padding[1], padding[1] + width)
        shape = self._numbers(_stored(result._tuple_shape, NHWC))
        kernel = self.constant(weight.transpose(1, 2, 3, 0), "weight")
        operands = [shape, kernel, self._in(x, NHWC)] + ([] if bias is None else [self._bias(bias, 0)])
        options = {"Padding": SAME if same and any(padding) else VALID, "StrideH": stride[0], "StrideW": stride[1]}
        return self._op("TRANSPOSE_CONV", operands, result, NHWC, **options)

    def pool(self, kind: str, x: Value, kernel: Shape, stride: Shape, padding: Shape, exclusive: bool = False) -> Value:
        """TFLite's average leaves padding out, where it pads by itself."""
        result = arithmetic.pool(kind, x.tensor, kernel, stride, padding, exclusive)
        same = _is_same(x.shape[2:], result._tuple_shape[2:], kernel, stride, padding)
        if kind == "mean" and exclusive and any(padding) and not same:
            return decompositions.exclusive_average(self, x, kernel, stride, padding)
        if any(padding) and not (same and (kind == "max" or exclusive)):
            x, same = self._padded(x, padding, float(np.finfo(np.float32).min) if kind == "max" else 0.0), False
        options = {
            "Padding": SAME if same and any(padding) else VALID, "StrideH": stride[0], "StrideW": stride[1],
            "FilterHeight": kernel[0], "FilterWidth": kernel[1],
        }  # fmt: skip
        return self._op(
            "MAX_POOL_2D" if kind == "max" else "AVERAGE_POOL_2D", [self._in(x, NHWC)], result, NHWC, **options
        )

    def emit_resize(self, x: Value, size: Shape, kind: str, align_corners: bool, result: Tensor) -> Value:
        operands = [self._in(x, NHWC), self._numbers(size)]
        if kind == "nearest":
            return self._op("RESIZE_NEAREST_NEIGHBOR", operands, result, NHWC)
        options = {"AlignCorners": align_corners, "HalfPixelCenters": not align_corners}
        return self._op("RESIZE_BILINEAR", operands, result, NHWC, **options)


def _stored(shape: Sequence[int], layout: str) -> Shape:
    return tuple(shape[axis] for axis in TO_NHWC) if layout == NHWC and len(shape) == 4 else tuple(shape)


def _is_same(lengths: Shape, wanted: Shape, reach: Shape, stride: Shape, padding: Shape) -> bool:
    """Whether TFLite's SAME pads as much before each axis."""
    for length, out, window, step, pad in zip(lengths, wanted, reach, stride, padding):
        total = max((out - 1) * step + window - length, 0)
        if out != -(-length // step) or total // 2 != pad:
            return False
    return True


def _merged(a: Shape, b: Shape, result: Shape) -> List[List[int]]:
    """Neighbouring axes on which the operands are broadcast alike."""
    groups: List[List[int]] = []
    kinds: List[Any] = []
    for axis, length in enumerate(result):
        kind = tuple(len(shape) == 0 or shape[axis] == length for shape in (a, b)) if length != 1 else None
        if groups and (kind is None or kinds[-1] is None or kind == kinds[-1]):
            groups[-1].append(axis)
            kinds[-1] = kind or kinds[-1]
        else:
            groups.append([axis])
            kinds.append(kind)
    return groups


def _lengths(shape: Shape, groups: Sequence[Sequence[int]]) -> Shape:
    return tuple(size_of(tuple(shape[axis] for axis in group)) for group in groups)


def _runs(shape: Shape, order: Shape) -> List[List[int]]:
    """The axes in their new order, those together that stay neighbours; axes of length 1 are left out."""
    kept = [axis for axis in order if shape[axis] != 1]
    rank = {axis: place for place, axis in enumerate(sorted(kept))}
    runs: List[List[int]] = []
    for axis in kept:
        if runs and rank[runs[-1][-1]] + 1 == rank[axis]:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _spread(p: TfliteEmission, x: Value, shape: Shape) -> Value:
    for axis, length in enumerate(shape):
        if x.shape[axis] != length:
            x = p.concat([x] * length, axis)
    return x
