"""Layers of a network trained for quantisation: what they compute, on which grids of integers.

Float formats get what the network computes with its fake quantisation switched off; the grids stand in a file beside
(:mod:`quantised_notes`). TFLite gets the network as it was trained, in integers (:mod:`quantised_tflite`).
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import megengine.functional as F
import megengine.module.qat as Q
from megengine import Tensor
from megengine.module.quantized import QuantizedModule
from megengine.quantization.fake_quant import _FakeQuantize
from megengine.quantization.observer import Observer
from megengine.traced_module import TracedModule

from megbuild_worker.job import Refusal

from . import arithmetic, elementwise, quantised_notes, shape
from .grid import Grid, grid_of
from .primitives import Primitives
from .quantised_steps import Layer
from .quantised_tflite import QuantisedTfliteEmission
from .table import module
from .values import Array, Value, array_of, constant, spread


def settle(network: TracedModule, keep: bool) -> None:
    """Ends the observation of ranges, which would go on at every run, and switches fake quantisation off but to keep it."""
    for name, part in network.named_modules():
        if isinstance(part, QuantizedModule):
            raise Refusal(
                f"{name} is an integer module of MegEngine: trace the network after quantize_qat, before quantize"
            )
        if isinstance(part, Observer) or (isinstance(part, _FakeQuantize) and not keep):
            part.disable()


def _weight_grid(p: Primitives, own: Any) -> Optional[Grid]:
    return grid_of(own.weight_fake_quant, own.weight_observer, quantised_notes.noted(p))


def _result_grid(p: Primitives, own: Any) -> Optional[Grid]:
    return grid_of(own.act_fake_quant, own.act_observer, quantised_notes.noted(p))


def _quantised(p: Primitives, own: Any, y: Value) -> Value:
    """What a layer makes, on the layer's grid."""
    grid = _result_grid(p, own)
    if grid is None:
        return y
    if isinstance(p, QuantisedTfliteEmission):
        return p.quantise(y, grid, own.apply_quant_activation(Tensor(y.tensor)))
    quantised_notes.note_result(p, y, grid)
    return y


def _in_integers(p: Primitives, own: Any, *values: Value) -> Optional[QuantisedTfliteEmission]:
    """The emission, where it can compute the layer in integers."""
    whole = isinstance(p, QuantisedTfliteEmission) and _result_grid(p, own) is not None
    return p if whole and all(p.is_int8(value) for value in values) else None  # type: ignore[attr-defined,return-value]


def _bias(own: Any, x: Value, weight: Tensor, bias: Optional[Tensor]) -> Tuple[Optional[Array], bool]:
    """The bias of a layer, and whether MegEngine has rounded it to units of the product of its scales.

    It does where it knows the scale of ``x``, which is where a quantised layer made it: ``QATModule.apply_quant_bias``.
    """
    if bias is None:
        return None, False
    taken = own.apply_quant_bias(bias, x.tensor, weight)
    return taken.numpy().reshape(-1), taken is not bias


def _layer(
    p: QuantisedTfliteEmission, own: Any, x: Value, weight: Array, bias: Optional[Array], relu: bool, rounded: bool
) -> Layer:
    inside, kernel, out = p.grid(x), _weight_grid(p, own), _result_grid(p, own)
    assert inside is not None and kernel is not None and out is not None
    return Layer(weight, bias, inside, kernel, out, relu, rounded)


# Convolutions --------------------------------------------------------------------------------------------------------


def _folded(own: Any) -> Any:
    """The kernel and the bias with the batch normalisation in them, the kernel on its grid."""
    return own.fold_weight_bias(own.bn.running_mean, own.bn.running_var)


def _convolved(
    p: Primitives, own: Any, conv: Any, x: Value, weight: Tensor, bias: Optional[Tensor], relu: bool
) -> Value:
    kernel = array_of(weight)
    kernel = kernel.reshape(-1, *kernel.shape[2:]) if kernel.ndim == 5 else kernel
    offset, rounded = _bias(own, x, weight, bias)
    padding = spread(conv.padding, 2)
    if conv.padding_mode != "zeros":
        x = shape.pad_edges(p, x, [(0, 0), (0, 0), *((width, width) for width in padding)], conv.padding_mode)
        padding = (0, 0)
    sizes = (spread(conv.stride, 2), padding, spread(conv.dilation, 2))
    grid, whole = _weight_grid(p, own), _in_integers(p, own, x)
    if whole and grid and grid.symmetric:
        result = arithmetic.convolution(x.tensor, kernel, offset, *sizes, conv.groups)
        result = own.apply_quant_activation(F.relu(result) if relu else result)
        layer = _layer(whole, own, x, kernel, offset, relu, rounded)
        return whole.int8_convolution(x, layer, *sizes, conv.groups, result)
    with quantised_notes.weights(p, grid):
        y = p.convolution(x, kernel, offset, *sizes, conv.groups)
    return _quantised(p, own, p.unary("relu", y) if relu else y)


@module(Q.Conv2d)
def conv(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.Conv2d``."""
    return _convolved(p, own, own, x, own.apply_quant_weight(own.weight), own.bias, False)


@module(Q.ConvRelu2d)
def conv_relu(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvRelu2d``."""
    return _convolved(p, own, own, x, own.apply_quant_weight(own.weight), own.bias, True)


@module(Q.ConvBn2d)
def conv_bn(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvBn2d``: quantisation sees the kernel that the normalisation has scaled."""
    return _convolved(p, own, own.conv, x, *_folded(own), False)


@module(Q.ConvBnRelu2d)
def conv_bn_relu(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvBnRelu2d``."""
    return _convolved(p, own, own.conv, x, *_folded(own), True)


def _deconvolved(
    p: Primitives, own: Any, conv: Any, x: Value, weight: Tensor, bias: Optional[Tensor], relu: bool
) -> Value:
    kernel = array_of(weight)
    kernel = kernel.reshape(-1, *kernel.shape[2:]) if kernel.ndim == 5 else kernel
    offset, _ = _bias(own, x, weight, bias)
    sizes = [spread(size, 2) for size in (conv.stride, conv.padding, conv.output_padding, conv.dilation)]
    with quantised_notes.weights(p, _weight_grid(p, own)):
        y = p.deconvolution(x, kernel, offset, *sizes, conv.groups)
    return _quantised(p, own, p.unary("relu", y) if relu else y)


@module(Q.ConvTranspose2d)
def conv_transpose(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvTranspose2d``: in float between integers, like those below."""
    return _deconvolved(p, own, own, x, own.apply_quant_weight(own.weight), own.bias, False)


@module(Q.ConvTransposeRelu2d)
def conv_transpose_relu(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvTransposeRelu2d``."""
    return _deconvolved(p, own, own, x, own.apply_quant_weight(own.weight), own.bias, True)


@module(Q.ConvTransposeBn2d)
def conv_transpose_bn(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvTransposeBn2d``."""
    return _deconvolved(p, own, own.conv_transpose2d, x, *_folded(own), False)


@module(Q.ConvTransposeBnRelu2d)
def conv_transpose_bn_relu(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.ConvTransposeBnRelu2d``."""
    return _deconvolved(p, own, own.conv_transpose2d, x, *_folded(own), True)


# Linear layers -------------------------------------------------------------------------------------------------------


def _multiplied(p: Primitives, own: Any, x: Value, weight: Tensor, bias: Optional[Tensor], relu: bool) -> Value:
    kernel: Array = array_of(weight)
    offset, rounded = _bias(own, x, weight, bias)
    grid, whole = _weight_grid(p, own), _in_integers(p, own, x)
    if whole and grid and grid.symmetric:
        result = F.linear(x.tensor, weight, None if offset is None else Tensor(offset))
        result = own.apply_quant_activation(F.relu(result) if relu else result)
        return whole.int8_linear(x, _layer(whole, own, x, kernel, offset, relu, rounded), result)
    with quantised_notes.weights(p, grid):
        y = p.linear(x, kernel, offset)
    return _quantised(p, own, p.unary("relu", y) if relu else y)


@module(Q.Linear)
def linear_layer(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.Linear``."""
    return _multiplied(p, own, x, own.apply_quant_weight(own.weight), own.bias, False)


@module(Q.LinearRelu)
def linear_relu(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.LinearRelu``."""
    return _multiplied(p, own, x, own.apply_quant_weight(own.weight), own.bias, True)


@module(Q.LinearBn1d)
def linear_bn(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.LinearBn1d``: quantisation sees the weights that the normalisation has scaled."""
    return _multiplied(p, own, x, *_folded(own), False)


@module(Q.LinearBnRelu1d)
def linear_bn_relu(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.LinearBnRelu1d``."""
    return _multiplied(p, own, x, *_folded(own), True)


# Between tensors -----------------------------------------------------------------------------------------------------

_IN_INTEGERS = {"ADD": ("add", False), "FUSE_ADD_RELU": ("add", True), "SUB": ("sub", False), "MUL": ("mul", False)}
"""Methods of Elemwise that TFLite computes in integers, each operand on its grid; and whether ReLU follows."""


@module(Q.Elemwise)
def elemwise(p: Primitives, own: Any, *operands: Any) -> Value:
    """``megengine.module.qat.Elemwise``: the operation that its ``method`` names."""
    values = [constant(operand) for operand in operands]
    whole = _in_integers(p, own, *values)
    if whole and own.method.upper() in _IN_INTEGERS:
        kind, relu = _IN_INTEGERS[own.method.upper()]
        grid = _result_grid(p, own)
        assert grid is not None
        result = own(*(Tensor(value.tensor) for value in values))
        return whole.int8_binary(kind, values[0], values[1], result, grid, relu)
    return _quantised(p, own, elementwise.elemwise(p, own, *operands))


@module(Q.Concat)
def concat(p: Primitives, own: Any, inps: Sequence[Any], axis: int = 0) -> Value:
    """``megengine.module.qat.Concat``: the parts meet on the grid of the whole."""
    values = [constant(value) for value in inps]
    whole = _in_integers(p, own, *values)
    if whole:
        grid = _result_grid(p, own)
        assert grid is not None
        values = [whole.quantise(v, grid, own.apply_quant_activation(Tensor(v.tensor))) for v in values]
    return _quantised(p, own, shape.concat(p, values, axis))


@module(Q.QuantStub)
def quant_stub(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.QuantStub``: what is float before is on a grid behind."""
    return _quantised(p, own, x)


@module(Q.DequantStub)
def dequant_stub(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.DequantStub``: the same numbers; what needs float behind it asks for them."""
    return x


@module(Q.BatchMatMulActivation)
def batch_matmul(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.qat.BatchMatMulActivation``: in float between integers."""
    y = p.matmul(constant(own.apply_quant_weight(own.weight)), x)
    if own.bias is not None:
        y = p.add(y, constant(own.bias))
    return _quantised(p, own, p.unary("relu", y) if own.nonlinear_mode == "relu" else y)
