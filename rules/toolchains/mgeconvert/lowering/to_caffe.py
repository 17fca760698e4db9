"""Emission of Caffe with the layers that BVLC Caffe has, and the two files.

Caffe knows float blobs alone, has no transpose, no product of two activations but element by element, and no
broadcasting: what it lacks is made of slices, concatenations, inner products and convolutions where that is possible.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Optional, Sequence, Tuple

import megengine.functional as F
import numpy as np
from megengine import Tensor
from mgeconvert.backend.ir_to_caffe import caffe_op
from mgeconvert.backend.ir_to_caffe.caffe_converter import CaffeConverter
from mgeconvert.backend.ir_to_caffe.caffe_pb import caffe_pb2
from mgeconvert.converter_ir.ir_graph import IRGraph
from mgeconvert.converter_ir.ir_quantizer import IRQuantizer
from mgeconvert.converter_ir.ir_tensor import IRTensor

from . import caffe_elementwise
from .emission import Node, size_of
from .primitives import Primitives
from .values import Array, Shape, Unsupported, Value, constant, number

BLOB = "plain"
_LAYER, _BLOBS, _DATA = 100, 7, 5
"""The numbers of ``NetParameter.layer``, ``LayerParameter.blobs`` and ``BlobProto.data`` in caffe.proto."""


class CaffeEmission(Primitives):
    """A value of booleans is a blob of zeros and ones."""

    format = "Caffe"
    native = ("grouped_deconvolution", "softmax")

    def take(self, x: Value, name: str) -> None:
        if x.dtype != np.float32:
            raise Unsupported(f"Caffe's blobs are float32, the input is {x.dtype}", "a float32 input")
        x.stored[BLOB] = self.tensor(x.shape, np.float32, name)
        self.graph.add_net_inputs(x.stored[BLOB])

    def give(self, x: Value) -> IRTensor:
        """A result is made by a layer of its own, and no other layer reads it: that is what Caffe takes for a result."""
        if x.dtype != np.float32:
            raise Unsupported(f"Caffe's blobs are float32, not {x.dtype}", "a result as float32")
        if x.ndim == 1:
            raise Unsupported("OpenCV gives a result of one dimension a second one", "a reshape to (1, n)")
        source = self._blob(x)
        blob = source.stored[BLOB]
        alone = self.to_give(blob) and len(blob.owner_opr.out_tensors) == 1 and x.uses == 1
        read = any(blob is tensor for node in self.graph.all_oprs for tensor in node.inp_tensors)
        return blob if alone and not read else self.power(source, x.tensor).stored[BLOB]

    def stand_in(self, tensor: Tensor) -> Value:
        return Value(tensor, {BLOB: self.tensor(tensor._tuple_shape)})

    # Layers ----------------------------------------------------------------------------------------------------------

    def layer(
        self, kind: str, inputs: Sequence[Value], *results: Tensor, blobs: Sequence[Array] = (), **parameters: Any
    ) -> Any:
        """Adds a layer; one value, or one for each result."""
        outputs = [self.tensor(result._tuple_shape) for result in results]
        held = [self.once(np.asarray(blob, "<f4")) for blob in blobs]
        self.node(kind, [x.stored[BLOB] for x in inputs], outputs, blobs=held, **parameters)
        values = tuple(Value(result, {BLOB: output}) for result, output in zip(results, outputs))
        return values if len(values) > 1 else values[0]

    def power(self, x: Value, result: Tensor, power: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> Value:
        """(shift + scale * x) ** power."""
        if power != 1.0 and shift == 0.0:
            shift = 1e-37  # OpenCV 4.10 folds what follows into a layer without a shift, wrongly
        parameter = caffe_pb2.PowerParameter(power=power, scale=scale, shift=shift)
        value: Value = self.layer("Power", [x], result, power_param=parameter)
        return value

    def _blob(self, x: Value) -> Value:
        """A constant as what an inner product with zeros adds to an activation."""
        if not x.constant:
            return x
        inputs = self.graph.graph_inputs
        if not inputs:
            raise Unsupported("Caffe has no constants, and the network no inputs")
        source = Value(Tensor(np.zeros(inputs[0].shape, np.float32)), {BLOB: inputs[0]})
        count = size_of(source.shape)
        bias = x.array.astype(np.float32).reshape(-1)
        flat = self.linear(self.reshape(source, (1, count)), np.zeros((bias.size, count), np.float32), bias)
        return Value(x.tensor, self.reshape(flat, x.shape).stored)

    def grow(self, x: Value, shape: Shape) -> Value:
        """Broadcasting: copies along an axis are a product with ones."""
        for axis in reversed(range(x.ndim)):
            if x.shape[axis] == shape[axis]:
                continue
            before, behind = size_of(x.shape[:axis]), size_of(x.shape[axis + 1 :])
            grown = (*x.shape[:axis], shape[axis], *x.shape[axis + 1 :])
            ones = np.ones((shape[axis], 1), np.float32)
            if behind == 1:
                x = self.reshape(self.linear(self.reshape(x, (before, 1)), ones, None), grown)
            else:
                x = self.reshape(self._mixed(self.reshape(x, (before, 1, behind, 1)), ones), grown)
        return x

    def _mixed(self, x: Value, matrix: Array) -> Value:
        """A matrix over the channels, as a convolution."""
        return self.convolution(x, matrix[:, :, np.newaxis, np.newaxis], None, (1, 1), (0, 0), (1, 1), 1)

    # Elementwise -----------------------------------------------------------------------------------------------------

    def emit_binary(self, kind: str, a: Value, b: Value, result: Tensor) -> Value:
        if result.ndim == 1:  # OpenCV computes with two dimensions or more
            rows = [x if x.ndim == 0 else self.reshape(x, (1, -1)) for x in (a, b)]
            return self.reshape(self.binary(kind, *rows), (-1,))
        return caffe_elementwise.binary(self, kind, a, b, result)

    def emit_unary(self, kind: str, x: Value, result: Tensor, slope: float) -> Value:
        return caffe_elementwise.unary(self, kind, x, result, slope)

    def emit_cast(self, x: Value, result: Tensor) -> Value:
        if x.dtype.kind not in "bf" or result.dtype == np.float16:
            raise Unsupported(f"Caffe's blobs are float32, not {result.dtype}")
        if np.dtype(result.dtype).kind in "iu" and x.dtype.kind != "b":
            raise Unsupported(f"Caffe cannot round to {result.dtype}")
        return Value(result, dict(x.stored))

    def emit_select(self, condition: Value, a: Value, b: Value, result: Tensor) -> Value:
        return caffe_elementwise.select(self, condition, a, b)

    # Shape -----------------------------------------------------------------------------------------------------------

    def emit_reshape(self, x: Value, result: Tensor) -> Value:
        if not result.ndim:
            raise Unsupported("Caffe has no blob without dimensions", "keepdims=True, or a reshape to (1,)")
        shape = caffe_pb2.BlobShape(dim=result._tuple_shape)
        value: Value = self.layer("Reshape", [x], result, reshape_param=caffe_pb2.ReshapeParameter(shape=shape))
        return value

    def emit_transpose(self, x: Value, order: Shape, result: Tensor) -> Value:
        """Blocks of neighbouring axes change places, one pair after another, each by slices and a concatenation."""
        now, y = list(range(x.ndim)), x
        for place, axis in enumerate(order):
            start = now.index(axis)
            if start == place:
                continue
            count = 1
            while place + count < x.ndim and start + count < x.ndim and now[start + count] == order[place + count]:
                count += 1
            blocks = now[:place], now[place:start], now[start : start + count], now[start + count :]
            y = self._swapped(y, *(size_of(tuple(x.shape[one] for one in block)) for block in blocks))
            now[place : start + count] = now[start : start + count] + now[place:start]
        return self.reshape(y, result._tuple_shape)

    def _swapped(self, x: Value, before: int, first: int, second: int, behind: int) -> Value:
        """(before, first, second, behind) -> (before, second, first, behind)."""
        if first == 1 or second == 1:
            return x
        x = self.reshape(x, (before, first, second, behind))
        if first <= second:
            parts = [self.reshape(part, (before, second, 1, behind)) for part in self.split(x, range(first + 1), 1)]
            return self.concat(parts, 2)
        parts = [self.reshape(part, (before, 1, first, behind)) for part in self.split(x, range(second + 1), 2)]
        return self.concat(parts, 1)

    def emit_concat(self, values: Sequence[Value], axis: int, result: Tensor) -> Value:
        if result.ndim == 1:
            return self.reshape(self.concat([self.reshape(value, (1, -1)) for value in values], 1), (-1,))
        parameter = caffe_pb2.ConcatParameter(axis=axis)
        value: Value = self.layer("Concat", [self._blob(value) for value in values], result, concat_param=parameter)
        return value

    def split(self, x: Value, bounds: Sequence[int], axis: int) -> List[Value]:
        if x.constant or len(bounds) == 2:
            return super().split(x, bounds, axis)
        cuts = [x.tensor[(slice(None),) * axis + (slice(start, stop),)] for start, stop in zip(bounds, bounds[1:])]
        parameter = caffe_pb2.SliceParameter(axis=axis, slice_point=list(bounds[1:-1]))
        return list(self.layer("Slice", [x], *cuts, slice_param=parameter))

    def emit_slice(self, x: Value, axis: int, positions: range, result: Tensor) -> Value:
        length = x.shape[axis]
        if positions.step < 0:
            parts = self.split(x, range(length + 1), axis)
            return self.concat([parts[position] for position in positions], axis)
        start, stop = positions[0], positions[-1] + 1
        bounds = sorted({0, start, stop, length})
        y = self.split(x, bounds, axis)[bounds.index(start)]
        if positions.step == 1:
            return y
        # A convolution with a kernel of one takes every n-th.
        flat = self.reshape(y, (size_of(y.shape[:axis]), 1, y.shape[axis], size_of(y.shape[axis + 1 :])))
        one = np.ones((1, 1, 1, 1), np.float32)
        picked = self.convolution(flat, one, None, (positions.step, 1), (0, 0), (1, 1), 1)
        return self.reshape(picked, result._tuple_shape)

    def emit_pad(self, x: Value, widths: Sequence[Tuple[int, int]], fill: float, result: Tensor) -> Value:
        for axis, (before, after) in enumerate(widths):
            shape = list(x.shape)
            parts = [x]
            for width, place in ((before, 0), (after, 1)):
                if width:
                    shape[axis] = width
                    parts.insert(place * len(parts), constant(np.full(shape, fill, np.float32)))
            x = self.concat(parts, axis)
        return x

    # Reductions ------------------------------------------------------------------------------------------------------

    def emit_reduce(self, kind: str, x: Value, axes: Sequence[int], result: Tensor) -> Value:
        """Pooling over each run of neighbouring axes."""
        if kind == "prod":
            raise Unsupported("Caffe multiplies no elements of one blob")
        for axis in axes:
            before, behind = size_of(x.shape[:axis]), size_of(x.shape[axis + 1 :])
            length = x.shape[axis]
            flat = self.reshape(x, (before, 1, length, behind))
            if kind == "min":
                flat = self.unary("neg", flat)
            flat = self.pool("mean" if kind in ("mean", "sum") else "max", flat, (length, 1), (1, 1), (0, 0))
            if kind in ("min", "sum"):
                flat = self.mul(flat, number(-1.0 if kind == "min" else float(length)))
            x = self.reshape(flat, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        return Value(result, x.stored)

    def emit_softmax(self, x: Value, axis: int, result: Tensor) -> Value:
        last = axis == x.ndim - 1 and x.ndim != 4
        parameter = caffe_pb2.SoftmaxParameter(axis=1 if last else axis)
        if not last:
            value: Value = self.layer("Softmax", [x], result, softmax_param=parameter)
            return value
        rows = self.reshape(x, (-1, x.shape[-1]))
        return self.reshape(self.layer("Softmax", [rows], F.softmax(rows.tensor, 1), softmax_param=parameter), x.shape)

    # Products --------------------------------------------------------------------------------------------------------

    def emit_linear(self, x: Value, weight: Array, bias: Optional[Array], result: Tensor) -> Value:
        parameter = caffe_pb2.InnerProductParameter(num_output=weight.shape[0], bias_term=bias is not None)
        blobs = [weight] if bias is None else [weight, bias]
        value: Value = self.layer("InnerProduct", [x], result, blobs=blobs, inner_product_param=parameter)
        return value

    def emit_matmul(self, a: Value, b: Value, result: Tensor) -> Value:
        if a.constant and a.ndim == 2:
            order = (*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
            return self.transpose(self.linear(self.transpose(b, order), a.array, None), order)
        raise Unsupported("Caffe has no product of two activations")

    def _convolved(
        self, kind: str, x: Value, weight: Array, bias: Optional[Array], result: Tensor, sizes: Sequence[Shape], groups: int, outputs: int
    ) -> Value:  # fmt: skip
        stride, padding, dilation = sizes
        parameter = caffe_pb2.ConvolutionParameter(
            num_output=outputs, bias_term=bias is not None, group=groups,
            kernel_h=weight.shape[2], kernel_w=weight.shape[3], stride_h=stride[0], stride_w=stride[1],
            pad_h=padding[0], pad_w=padding[1], dilation=[dilation[0]],
        )  # fmt: skip
        blobs = [weight] if bias is None else [weight, bias]
        value: Value = self.layer(kind, [x], result, blobs=blobs, convolution_param=parameter)
        return value

    def emit_convolution(
        self, x: Value, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:  # fmt: skip
        if dilation[0] != dilation[1] and weight.shape[2:] != (1, 1):
            weight, dilation = _written_out(weight, dilation), (1, 1)
        return self._convolved(
            "Convolution", x, weight, bias, result, (stride, padding, dilation), groups, weight.shape[0]
        )

    def takes_deconvolution(self, weight: Array, padding: Shape, output_padding: Shape, dilation: Shape) -> bool:
        return (
            weight.ndim == 4
            and set(dilation) == {1}
            and all(extra <= pad for extra, pad in zip(output_padding, padding))
        )

    def emit_deconvolution(
        self, x: Value, weight: Array, bias: Optional[Array], stride: Shape, padding: Shape, output_padding: Shape, dilation: Shape, groups: int, result: Tensor
    ) -> Value:  # fmt: skip
        if any(output_padding):  # everything, of which the padding is cut off
            y = self.deconvolution(x, weight, bias, stride, (0, 0), (0, 0), dilation, groups)
            y = self.slice(y, 2, padding[0], padding[0] + result._tuple_shape[2])
            return self.slice(y, 3, padding[1], padding[1] + result._tuple_shape[3])
        sizes = (stride, padding, dilation)
        return self._convolved("Deconvolution", x, weight, bias, result, sizes, groups, weight.shape[1] * groups)

    def emit_pool(
        self, kind: str, x: Value, kernel: Shape, stride: Shape, padding: Shape, exclusive: bool, result: Tensor
    ) -> Value:
        """Caffe counts windows that begin inside; what is too much is cut off."""
        lengths = [_pooled(*sizes) for sizes in zip(x.shape[2:], kernel, stride, padding)]
        wanted = result._tuple_shape[2:]
        more = [(0, 0), (0, 0), *((0, length - out) for length, out in zip(lengths, wanted))]
        parameter = caffe_pb2.PoolingParameter(
            pool=0 if kind == "max" else 1, kernel_h=kernel[0], kernel_w=kernel[1], stride_h=stride[0],
            stride_w=stride[1], pad_h=padding[0], pad_w=padding[1],
        )  # fmt: skip
        y = self.layer("Pooling", [x], Tensor(np.pad(result.numpy(), more)), pooling_param=parameter)
        return self.slice(self.slice(y, 2, 0, wanted[0]), 3, 0, wanted[1])


def _pooled(length: int, kernel: int, stride: int, pad: int) -> int:
    """How many windows Caffe makes."""
    count = -(-(length + 2 * pad - kernel) // stride) + 1
    return count - 1 if pad and (count - 1) * stride >= length + pad else count


def _written_out(weight: Array, dilation: Shape) -> Array:
    """The kernel with zeros between its elements."""
    height, width = (spread * (n - 1) + 1 for n, spread in zip(weight.shape[2:], dilation))
    out = np.zeros((*weight.shape[:2], height, width), np.float32)
    out[:, :, :: dilation[0], :: dilation[1]] = weight
    return out


class _Converter(CaffeConverter):
    """Its layers have no weights: those stay beside them, by the layer's name."""

    def __init__(self, graph: IRGraph) -> None:
        super().__init__(graph, IRQuantizer(require_quantize=False))
        self.blobs: Dict[str, Sequence[Array]] = {}


@caffe_op._register_op(Node)
def _layer(node: Node, context: _Converter) -> None:
    """What mgeconvert's converter asks of an operation."""
    parameters: Dict[str, Any] = dict(node.attributes)
    blobs = parameters.pop("blobs")
    bottom = [context.get_blob_name(tensor) for tensor in node.inp_tensors]
    top = [context.set_blob_name(tensor, tensor.name) for tensor in node.out_tensors]
    name = top[0] if top else f"{bottom[0]}.unread"
    context.add_layer(caffe_pb2.LayerParameter(name=name, type=node.kind, bottom=bottom, top=top, **parameters))
    context.blobs[name] = blobs


def write(emission: CaffeEmission, prototxt: Path, caffemodel: Path) -> None:
    """Writes the two files. Parts of a slice that nothing reads are silenced, else Caffe takes them for results."""
    graph = emission.graph
    read = {id(tensor) for node in graph.all_oprs for tensor in node.inp_tensors}
    read |= {id(tensor) for tensor in graph.graph_outputs}
    for node in list(graph.all_oprs):
        for tensor in node.out_tensors:
            if id(tensor) not in read:
                emission.node("Silence", [tensor], [], blobs=())
    converter = _Converter(graph)
    converter.convert()
    converter.dump(str(prototxt))
    with caffemodel.open("wb") as file:
        for layer in converter.layers:
            _write_layer(file, layer, converter.blobs.get(layer.name, ()))


def _write_layer(file: BinaryIO, layer: Any, arrays: Sequence[Array]) -> None:
    """One layer of a NetParameter. Its weights are written from where they are: a message would hold them once more."""
    head = layer.SerializeToString(deterministic=True)
    heads = [_blob_head(array) for array in arrays]
    blobs = [_field(_BLOBS, len(before) + array.nbytes) for before, array in zip(heads, arrays)]
    size = len(head) + sum(len(b) + len(h) + array.nbytes for b, h, array in zip(blobs, heads, arrays))
    file.write(_field(_LAYER, size) + head)
    for blob, before, array in zip(blobs, heads, arrays):
        file.write(blob + before)
        file.write(memoryview(array).cast("B"))


def _blob_head(array: Array) -> bytes:
    """A BlobProto up to its numbers, which in a file are the array's own bytes."""
    shape = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=array.shape))
    return bytes(shape.SerializeToString(deterministic=True)) + _field(_DATA, array.nbytes)


def _field(number: int, length: int) -> bytes:
    """What stands before a field of so many bytes in a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(number: int) -> bytes:
    """A number as protocol buffers write it."""
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(high) if high else bytes([low])
