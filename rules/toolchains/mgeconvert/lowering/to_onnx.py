"""Emission of ONNX, and the file."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Set, Tuple

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from megengine import Tensor
from mgeconvert.backend.ir_to_onnx import onnx_converter, onnx_op
from mgeconvert.converter_ir.ir_tensor import IRTensor

from . import arithmetic
from .emission import Node
from .primitives import Primitives
from .values import Array, Shape, Value

OPSETS = (11, 19)
"""What this module writes: from strided slices, pads and sizes as inputs to what the pinned checker takes."""
SMALL = 4096
"""Bytes up to which a constant is in the graph while it is checked; shape inference reads such constants."""

_UNARY = {"neg": "Neg", "not": "Not", "leaky_relu": "LeakyRelu", "reciprocal": "Reciprocal"}
_BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow",
    "equal": "Equal", "less": "Less", "greater": "Greater", "and": "And", "or": "Or", "xor": "Xor",
}  # fmt: skip
_NEGATED = {"not_equal": "equal", "less_equal": "greater", "greater_equal": "less"}


class OnnxEmission(Primitives):
    """Writes for one opset; axes and pads moved from attributes to inputs over the opsets."""

    format = "ONNX"
    convolution_ranks = (1, 2, 3)
    native = (
        "bicubic", "cumsum", "erf", "exclusive_average", "gather", "grouped_deconvolution", "resize",
    )  # fmt: skip

    def __init__(self, opset: int) -> None:
        super().__init__()
        self.opset = opset
        if opset >= 13:
            self.native = (*self.native, "softmax")

    def take(self, x: Value, name: str) -> None:
        x.stored["plain"] = self.tensor(x.shape, x.dtype, name)
        self.graph.add_net_inputs(x.stored["plain"])

    def give(self, x: Value) -> IRTensor:
        if x.constant:
            return self._op("Constant", [], x.tensor, value=onnx.numpy_helper.from_array(x.array)).stored["plain"]
        source = x.stored["plain"]
        return source if self.to_give(source) else self._op("Identity", [x], x.tensor).stored["plain"]

    def stand_in(self, tensor: Tensor) -> Value:
        return Value(tensor, {"plain": self.tensor(tensor._tuple_shape, tensor.dtype)})

    def _in(self, x: Any) -> IRTensor:
        if isinstance(x, Value):
            return self.constant(x.array) if x.constant else x.stored["plain"]
        return self.constant(x)

    def _op(self, kind: str, inputs: Sequence[Any], *results: Tensor, **attributes: Any) -> Any:
        """Adds a node; inputs are values or constant arrays. One value, or one for each result."""
        outputs = [self.tensor(result._tuple_shape, result.dtype) for result in results]
        self.node(kind, [self._in(x) for x in inputs], outputs, **attributes)
        values = tuple(Value(result, {"plain": output}) for result, output in zip(results, outputs))
        return values if len(values) > 1 else values[0]

    def _axes(self, kind: str, x: Value, axes: Sequence[int], result: Tensor, since: int, **attributes: Any) -> Value:
        """A node whose axes are an input since an opset."""
        if self.opset >= since:
            return self._op(kind, [x, np.asarray(axes, np.int64)], result, **attributes)
        return self._op(kind, [x], result, axes=list(axes), **attributes)

    def emit_binary(self, kind: str, a: Value, b: Value, result: Tensor) -> Value:
        if kind in _NEGATED:
            return self._op(
                "Not", [self.emit_binary(_NEGATED[kind], a, b, arithmetic.BINARY["equal"](result, False))], result
            )
        return self._op(_BINARY[kind], [a, b], result)

    def emit_unary(self, kind: str, x: Value, result: Tensor, slope: float) -> Value:
        if kind == "relu6":
            return self._op("Clip", [x, np.zeros((), x.dtype), np.full((), 6, x.dtype)], result)
        if kind == "rsqrt":
            return self._op("Reciprocal", [self.unary("sqrt", x)], result)
        return self._op(_UNARY.get(kind, kind.capitalize()), [x], result, **({"alpha": slope} if slope else {}))

    def emit_cast(self, x: Value, result: Tensor) -> Value:
        return self._op("Cast", [x], result, to=_onnx_type(result.dtype))

    def emit_select(self, condition: Value, a: Value, b: Value, result: Tensor) -> Value:
        return self._op("Where", [condition, a, b], result)

    def emit_reshape(self, x: Value, result: Tensor) -> Value:
        return self._op("Reshape", [x, np.asarray(result._tuple_shape, np.int64)], result)

    def emit_transpose(self, x: Value, order: Shape, result: Tensor) -> Value:
        return self._op("Transpose", [x], result, perm=list(order))

    def emit_concat(self, values: Sequence[Value], axis: int, result: Tensor) -> Value:
        return self._op("Concat", values, result, axis=axis)

    def emit_slice(self, x: Value, axis: int, positions: range, result: Tensor) -> Value:
        # A stop before the first element cannot be said as an index from the end.
        stop = positions.stop if positions.stop >= 0 else -(2**31)
        ends = ([positions.start], [stop], [axis], [positions.step])
        return self._op("Slice", [x, *(np.asarray(end, np.int64) for end in ends)], result)

    def split(self, x: Value, bounds: Sequence[int], axis: int) -> List[Value]:
        lengths = [stop - start for start, stop in zip(bounds[:-1], bounds[1:])]
        if x.constant or len(lengths) < 2 or bounds[0] != 0 or bounds[-1] != x.shape[axis]:
            return super().split(x, bounds, axis)
        cut = [
            Value(x.tensor).tensor[(slice(None),) * (axis % x.ndim) + (slice(a, b),)]
            for a, b in zip(bounds, bounds[1:])
        ]
        if self.opset >= 13:
            return list(self._op("Split", [x, np.asarray(lengths, np.int64)], *cut, axis=axis))
        return list(self._op("Split", [x], *cut, axis=axis, split=lengths))

    def emit_pad(self, x: Value, widths: Sequence[Tuple[int, int]], fill: float, result: Tensor) -> Value:
        pads = [before for before, _ in widths] + [after for _, after in widths]
        return self._op("Pad", [x, np.asarray(pads, np.int64), np.asarray(fill, x.dtype)], result)

    def emit_gather(self, x: Value, indices: Value, axis: int, result: Tensor) -> Value:
        return self._op("Gather", [x, indices], result, axis=axis)

    def emit_reduce(self, kind: str, x: Value, axes: Sequence[int], result: Tensor) -> Value:
        return self._axes(f"Reduce{kind.capitalize()}", x, axes, result, 13 if kind == "sum" else 18, keepdims=1)

    def emit_arg(self, kind: str, x: Value, axis: int, result: Tensor) -> Value:
        return self._narrow(f"Arg{kind.capitalize()}", [x], result, axis=axis, keepdims=0)

    def _narrow(self, kind: str, inputs: Sequence[Any], *results: Tensor, **attributes: Any) -> Any:
        """A node whose last result is int64 in ONNX, where MegEngine knows int32."""
        *others, wide = results
        outputs = [self.tensor(other._tuple_shape, other.dtype) for other in others]
        outputs.append(self.tensor(wide._tuple_shape, np.int64))
        self.node(kind, [self._in(x) for x in inputs], outputs, **attributes)
        narrow = self._op("Cast", [Value(wide, {"plain": outputs[-1]})], wide, to=onnx.TensorProto.INT32)
        return (
            (*(Value(other, {"plain": output}) for other, output in zip(others, outputs)), narrow) if others else narrow
        )

    def emit_top(self, x: Value, count: int, largest: bool, values: Tensor, positions: Tensor) -> Tuple[Value, Value]:
        k = np.asarray([count], np.int64)
        found: Tuple[Value, Value] = self._narrow(
            "TopK", [x, k], values, positions, axis=-1, largest=int(largest), sorted=1
        )
        return found

    def emit_cumsum(self, x: Value, axis: int, result: Tensor) -> Value:
        return self._op("CumSum", [x, np.asarray(axis, np.int64)], result)

    def emit_softmax(self, x: Value, axis: int, result: Tensor) -> Value:
        return self._op("Softmax", [x], result, axis=axis)

    def emit_linear(self, x: Value, weight: Array, bias: Optional[Array], result: Tensor) -> Value:
        operands = [x, self.constant(weight, "weight")] + ([] if bias is None else [self.constant(bias, "bias")])
        return self._with_weights("Gemm", operands, result, transB=1)

    def _with_weights(self, kind: str, operands: Sequence[Any], result: Tensor, **attributes: Any) -> Value:
        inputs = [self._in(x) if isinstance(x, Value) else x for x in operands]
        output = self.tensor(result._tuple_shape, result.dtype)
        self.node(kind, inputs, [output], **attributes)
        return Value(result, {"plain": output})

    def emit_matmul(self, a: Value, b: Value, result: Tensor) -> Value:
        return self._op("MatMul", [a, b], result)

    def emit_convolution(
        self, x: Value, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:  # fmt: skip
        operands = [x, self.constant(weight, "weight")] + ([] if bias is None else [self.constant(bias, "bias")])
        return self._with_weights(
            "Conv", operands, result, kernel_shape=weight.shape[2:], strides=stride, pads=padding * 2, dilations=dilation, group=groups
        )  # fmt: skip

    def takes_deconvolution(self, weight: Array, padding: Shape, output_padding: Shape, dilation: Shape) -> bool:
        return True

    def emit_deconvolution(
        self, x: Value, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, output_padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:  # fmt: skip
        operands = [x, self.constant(weight, "weight")] + ([] if bias is None else [self.constant(bias, "bias")])
        extra = {"output_padding": output_padding} if any(output_padding) else {}
        return self._with_weights(
            "ConvTranspose", operands, result, kernel_shape=weight.shape[2:], strides=stride, pads=padding * 2, dilations=dilation, group=groups, **extra
        )  # fmt: skip

    def emit_pool(
        self, kind: str, x: Value, kernel: Shape, stride: Shape, padding: Shape, exclusive: bool, result: Tensor
    ) -> Value:
        sizes = {"kernel_shape": kernel, "strides": stride, "pads": padding * 2}
        if kind == "max":
            return self._op("MaxPool", [x], result, **sizes)
        return self._op("AveragePool", [x], result, **sizes, count_include_pad=int(any(padding) and not exclusive))

    def emit_resize(self, x: Value, size: Shape, kind: str, align_corners: bool, result: Tensor) -> Value:
        how = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}[kind]
        where = "align_corners" if align_corners else "asymmetric" if kind == "nearest" else "half_pixel"
        extra = {"nearest_mode": "floor"} if kind == "nearest" else {}
        nothing = np.zeros(0, np.float32)
        lengths = np.asarray(result._tuple_shape, np.int64)
        return self._op(
            "Resize", [x, nothing, nothing, lengths], result, mode=how, coordinate_transformation_mode=where, **extra
        )


@onnx_op._register_op(Node)
class _NodeConverter(onnx_op.OperatorBaseConverter):
    """What mgeconvert's converter asks of an operation. Large constants stay out of the graph until it is checked."""

    def convert(self) -> Any:
        node = self._opr
        for tensor in node.inp_tensors:
            if tensor.np_data is None:
                continue
            if tensor.np_data.nbytes <= SMALL:
                self._parameters.append(onnx.numpy_helper.from_array(tensor.np_data, tensor.name))
            self._net_sources.append(
                onnx.helper.make_tensor_value_info(tensor.name, _onnx_type(tensor.dtype), tensor.shape)
            )
        names = [[tensor.name for tensor in tensors] for tensors in (node.inp_tensors, node.out_tensors)]
        made = onnx.helper.make_node(node.kind, *names, name=node.label, **node.attributes)
        return [made], self._net_sources, self._parameters


def _onnx_type(dtype: Any) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


class _Unoptimised:
    """Stands in for onnxoptimizer, whose passes find nothing to do here and fail on graphs without nodes."""

    @staticmethod
    def optimize(model: onnx.ModelProto, passes: Sequence[str]) -> onnx.ModelProto:
        return model


def write(emission: OnnxEmission) -> onnx.ModelProto:
    """The graph as a checked model with inferred shapes."""
    onnx_op.mge2onnx_dtype_mapping[np.bool_] = onnx.TensorProto.BOOL
    converter = onnx_converter.OnnxConverter(emission.graph, min(emission.opset, 12), quantizer=None)
    converter.opset_version = emission.opset
    real, onnx_converter.onnxoptimizer = onnx_converter.onnxoptimizer, _Unoptimised
    try:
        model = converter.convert()
    finally:
        onnx_converter.onnxoptimizer = real
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", emission.opset))
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    _give_constants(model, emission)
    return model


def _give_constants(model: onnx.ModelProto, emission: OnnxEmission) -> None:
    """Puts all constants among the initialisers, and takes them from the inputs."""
    ends = {tensor.name for tensor in emission.graph.graph_inputs}
    inputs = [tensor for tensor in model.graph.input if tensor.name in ends]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    del model.graph.initializer[:]
    there: Set[str] = set()
    for node in emission.graph.all_oprs:
        for tensor in node.inp_tensors:
            if tensor.np_data is not None and tensor.name not in there:
                there.add(tensor.name)
                initialiser = model.graph.initializer.add()
                initialiser.name, initialiser.data_type = tensor.name, _onnx_type(tensor.dtype)
                initialiser.dims.extend(tensor.shape)
                initialiser.raw_data = tensor.np_data.tobytes()
                tensor.np_data = np.empty(0, np.float32)  # the model's copy is enough
