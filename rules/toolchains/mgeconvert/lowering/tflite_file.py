"""The TFLite file: mgeconvert's converter, taught to write any operation with its options, and buffers at once."""

from __future__ import annotations

import contextlib
import importlib
import io
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import flatbuffers
import numpy as np
from mgeconvert.backend.ir_to_tflite import tflite_converter, tflite_op
from mgeconvert.backend.ir_to_tflite.tflite import Buffer, Model, OperatorCode, QuantizationParameters, Tensor
from mgeconvert.backend.ir_to_tflite.tflite.BuiltinOperator import BuiltinOperator
from mgeconvert.backend.ir_to_tflite.tflite.BuiltinOptions import BuiltinOptions
from mgeconvert.backend.ir_to_tflite.tflite.TensorType import TensorType
from mgeconvert.converter_ir.ir_graph import IRGraph
from mgeconvert.converter_ir.ir_quantizer import IRQuantizer

from .emission import Node

ALIGNMENT = 16
"""What the schema asks of the data of a buffer; readers map the file and trust it."""
_LARGEST_OLD_CODE = 127
"""The largest code that the field of older readers holds."""
_OPTIONS = {
    "MAX_POOL_2D": "Pool2D", "AVERAGE_POOL_2D": "Pool2D", "MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum",
    "MEAN": "Reducer", "SUM": "Reducer", "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer", "REDUCE_PROD": "Reducer",
    "PADV2": "PadV2", "TOPK_V2": "TopKV2", "BATCH_MATMUL": "BatchMatMul",
}  # fmt: skip
"""Whose options are not called as it is itself."""
_FUSES_ACTIVATION = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "DIV", "MAX_POOL_2D", "AVERAGE_POOL_2D",
}  # fmt: skip
_BIAS_FIELD = {"CONV_2D": 6, "FULLY_CONNECTED": 4}
"""Where the options say what type a bias of integers has, which mgeconvert's schema of 2021 does not know."""
_ACTIVATIONS = {"RELU": 1, "RELU6": 3}
"""ActivationFunctionType of the schema."""


def fuse_activations(graph: IRGraph) -> None:
    """Lets an operation apply the activation that alone reads its result."""
    readers: Dict[int, int] = {}
    for tensor in [*(tensor for node in graph.all_oprs for tensor in node.inp_tensors), *graph.graph_outputs]:
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    for node in list(graph.all_oprs):
        maker = node.inp_tensors[0].owner_opr
        takes = isinstance(maker, Node) and maker.kind in _FUSES_ACTIVATION
        if node.kind in _ACTIVATIONS and takes and readers[id(node.inp_tensors[0])] == 1:
            if "FusedActivationFunction" in maker.attributes:
                continue
            maker.attributes["FusedActivationFunction"] = _ACTIVATIONS[node.kind]
            maker.out_tensors = node.out_tensors
            maker.out_tensors[0].owner_opr = maker
            graph.delete_ops(graph.all_oprs.index(node))


@dataclass(frozen=True)
class Scales:
    """A scale for each index of an axis of a tensor of integers; zero is 0 in all of them."""

    values: Tuple[float, ...]
    axis: int


@tflite_op._register_op(Node)
def _node(node: Node, builder: Any) -> Tuple[int, Any, Any]:
    """What mgeconvert's converter asks of an operation: its code, and the type and offset of its options."""
    name = _OPTIONS.get(node.kind, node.kind.title().replace("_", "")) + "Options"
    kind = getattr(BuiltinOptions, name, None)
    code: int = getattr(BuiltinOperator, node.kind)
    if kind is None:
        return code, None, None
    schema = importlib.import_module(f"mgeconvert.backend.ir_to_tflite.tflite.{name}")
    bias = node.attributes.pop("QuantizedBiasType", None)
    if bias is None:
        getattr(schema, f"{name}Start")(builder)
    else:
        builder.StartObject(_BIAS_FIELD[node.kind] + 1)
        builder.PrependInt8Slot(_BIAS_FIELD[node.kind], bias, 0)
    for field, value in node.attributes.items():
        getattr(schema, f"{name}Add{field}")(builder, value)
    if node.kind in ("ARG_MAX", "ARG_MIN"):
        schema_type = tflite_op.mge2tflite_dtype_mapping[node.out_tensors[0].dtype]
        getattr(schema, f"{name}AddOutputType")(builder, schema_type)
    return code, kind, getattr(schema, f"{name}End")(builder)


class _Converter(tflite_converter.TFLiteConverter):
    def __init__(self, graph: IRGraph) -> None:
        super().__init__(graph, quantizer=IRQuantizer(require_quantize=True))
        tensors = {id(t): t for node in graph.all_oprs for t in [*node.inp_tensors, *node.out_tensors]}
        data = sum(t.np_data.nbytes + ALIGNMENT for t in tensors.values() if t.np_data is not None)
        # Large enough from the start: growing copies everything.
        self._builder = flatbuffers.Builder(data + 1024 * (len(tensors) + len(graph.all_oprs) + 4))

    def gen_buffer(self, byte_list: Any) -> Any:
        builder = self._builder
        if byte_list is None or not byte_list.size:
            Buffer.BufferStart(builder)
            return Buffer.BufferEnd(builder)
        data = byte_list.reshape(-1).view(np.uint8)
        builder.StartVector(1, data.size, ALIGNMENT)
        builder.head -= data.size
        builder.Bytes[builder.head : builder.head + data.size] = data.data
        offset = builder.EndVector(data.size)
        Buffer.BufferStart(builder)
        Buffer.BufferAddData(builder, offset)
        return Buffer.BufferEnd(builder)

    def gen_tensor(
        self, tensor_name: str, result_shape: Any, dtype: int, buffer_idx: int, scale: Any = None, zero_point: int = 0
    ) -> Any:
        if not isinstance(scale, Scales):
            return super().gen_tensor(tensor_name, result_shape, dtype, buffer_idx, scale, zero_point)
        builder = self._builder
        name = builder.CreateString(tensor_name)
        shape = builder.CreateNumpyVector(np.asarray(result_shape, np.int32))
        scales = builder.CreateNumpyVector(np.asarray(scale.values, np.float32))
        zeros = builder.CreateNumpyVector(np.zeros(len(scale.values), np.int64))
        QuantizationParameters.QuantizationParametersStart(builder)
        QuantizationParameters.QuantizationParametersAddScale(builder, scales)
        QuantizationParameters.QuantizationParametersAddZeroPoint(builder, zeros)
        QuantizationParameters.QuantizationParametersAddQuantizedDimension(builder, scale.axis)
        quantisation = QuantizationParameters.QuantizationParametersEnd(builder)
        Tensor.TensorStart(builder)
        Tensor.TensorAddName(builder, name)
        Tensor.TensorAddShape(builder, shape)
        Tensor.TensorAddType(builder, dtype)
        Tensor.TensorAddBuffer(builder, buffer_idx)
        Tensor.TensorAddQuantization(builder, quantisation)
        return Tensor.TensorEnd(builder)

    def get_operator_codes(self) -> Any:
        """Codes stand in two fields: readers from before 2021 know the first one alone."""
        builder, codes = self._builder, []
        for code in self._opr_type_list:
            OperatorCode.OperatorCodeStart(builder)
            OperatorCode.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, _LARGEST_OLD_CODE))
            OperatorCode.OperatorCodeAddVersion(builder, 1)
            OperatorCode.OperatorCodeAddBuiltinCode(builder, code)
            codes.append(OperatorCode.OperatorCodeEnd(builder))
        Model.ModelStartOperatorCodesVector(builder, len(codes))
        for offset in reversed(codes):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector(len(codes))


def _shape_and_data(tensor: Any, *_: Any, **__: Any) -> Tuple[List[int], Any]:
    """Stands in for mgeconvert's guess of the layout: tensors are as the file has them already."""
    data = tensor.np_data
    if data is not None:
        tensor.np_data = np.empty(0, data.dtype)  # the file's copy is enough
    return list(tensor.shape), data


def write(graph: IRGraph) -> Sequence[int]:
    """The bytes of the file."""
    fuse_activations(graph)
    tflite_op.mge2tflite_dtype_mapping[np.bool_] = TensorType.BOOL
    real, tflite_converter.get_shape_param = tflite_converter.get_shape_param, _shape_and_data
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of its last operation
            data: Sequence[int] = _Converter(graph).convert()
    finally:
        tflite_converter.get_shape_param = real
    return data
