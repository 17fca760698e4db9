"""Normalisations: of batches with known statistics, and of a value by its own mean and variance."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import Tensor

from .primitives import Primitives
from .table import function, module
from .values import Array, Operand, Unsupported, Value, constant, known, number, whole_numbers


def affine(p: Primitives, x: Value, scale: Array, shift: Array) -> Value:
    """``x * scale + shift`` for each channel; folded into a convolution that made ``x`` for nobody else."""
    origin = x.origin
    if origin is not None and x.uses == 1:
        weight = origin.weight * scale.reshape(-1, *[1] * (origin.weight.ndim - 1))
        bias = shift if origin.bias is None else origin.bias * scale + shift
        for tensor in x.stored.values():
            p.discard(tensor)
        p.path = origin.path
        shape = (1, -1, *[1] * (x.ndim - 2))
        p.answer = x.tensor * Tensor(scale.reshape(shape)) + Tensor(shift.reshape(shape))
        return p.convolution(origin.x, weight, bias, origin.stride, origin.padding, origin.dilation, origin.groups)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return p.add(p.mul(x, constant(scale.reshape(shape))), constant(shift.reshape(shape)))


@function(F.batch_norm)
def batch_norm(
    p: Primitives,
    x: Value,
    running_mean: Operand = None,
    running_var: Operand = None,
    weight: Optional[Operand] = None,
    bias: Optional[Operand] = None,
    *,
    training: bool = False,
    momentum: float = 0.9,
    eps: float = 1e-5,
    inplace: bool = True,
    **_: Any,
) -> Value:
    """``megengine.functional.batch_norm``: (x - mean) / sqrt(var + eps) * weight + bias with the known statistics."""
    if training:
        raise Unsupported("batch normalisation in training mode", "call eval() before tracing")
    mean, variance = (known(each, "the statistics").reshape(-1) for each in (running_mean, running_var))
    scale = 1.0 / np.sqrt(variance.astype(np.float64) + eps)
    if weight is not None:
        scale = scale * known(weight, "the weight").reshape(-1)
    shift = -mean * scale
    if bias is not None:
        shift = shift + known(bias, "the bias").reshape(-1)
    return affine(p, x, scale.astype(np.float32), shift.astype(np.float32))


@module(M.BatchNorm1d, M.BatchNorm2d, M.SyncBatchNorm)
def affine_of(p: Primitives, own: Any, x: Value) -> Value:
    """``megengine.module.BatchNorm2d``."""
    training = own.training and not own.freeze
    return batch_norm(p, x, own.running_mean, own.running_var, own.weight, own.bias, training=training, eps=own.eps)


def _standardised(p: Primitives, x: Value, axes: Sequence[int], eps: float) -> Value:
    """(x - mean) / sqrt(variance + eps) over some axes."""
    apart = p.sub(x, p.reduce("mean", x, axes, True))
    variance = p.reduce("mean", p.mul(apart, apart), axes, True)
    return p.mul(apart, p.unary("rsqrt", p.add(variance, number(eps))))


def _scaled(p: Primitives, x: Value, affine: bool, weight: Operand, bias: Operand) -> Value:
    return p.add(p.mul(x, constant(weight)), constant(bias)) if affine else x


@function(F.nn.layer_norm)
def layer_norm(
    p: Primitives,
    x: Value,
    normalized_shape: Any,
    affine: bool,
    weight: Optional[Operand] = None,
    bias: Optional[Operand] = None,
    eps: float = 1e-5,
) -> Value:
    """``megengine.functional.nn.layer_norm``: over the last axes, as many as ``normalized_shape`` has."""
    count = len(normalized_shape) if isinstance(normalized_shape, (list, tuple)) else 1
    shape = x.shape
    if count > 1:  # one axis is what formats have fast reductions for
        x = p.reshape(x, (*shape[: x.ndim - count], -1))
    y = p.reshape(_standardised(p, x, [x.ndim - 1], eps), shape)
    return _scaled(p, y, affine, weight, bias)


@module(M.LayerNorm)
def layer_norm_module(p: Primitives, own: M.LayerNorm, x: Value) -> Value:
    """``megengine.module.LayerNorm``."""
    return layer_norm(p, x, own.normalized_shape, own.affine, own.weight, own.bias, own.eps)


@function(F.nn.group_norm)
def group_norm(
    p: Primitives,
    x: Value,
    num_groups: int,
    affine: bool,
    weight: Optional[Operand] = None,
    bias: Optional[Operand] = None,
    eps: float = 1e-5,
) -> Value:
    """``megengine.functional.nn.group_norm``: the channels of a group together; a weight for each channel."""
    grouped = p.reshape(x, (x.shape[0], num_groups, -1))
    y = p.reshape(_standardised(p, grouped, [2], eps), x.shape)
    if not affine:
        return y
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale, shift = (known(each, "the weight").reshape(shape) for each in (weight, bias))
    return _scaled(p, y, True, scale, shift)


@function(F.nn.instance_norm)
def instance_norm(
    p: Primitives,
    x: Value,
    affine: bool,
    weight: Optional[Operand] = None,
    bias: Optional[Operand] = None,
    eps: float = 1e-5,
) -> Value:
    """``megengine.functional.nn.instance_norm``: each channel by itself."""
    return group_norm(p, x, x.shape[1], affine, weight, bias, eps)


@module(M.GroupNorm)
def group_norm_module(p: Primitives, own: M.GroupNorm, x: Value) -> Value:
    """``megengine.module.GroupNorm``."""
    return group_norm(p, x, own.num_groups, own.affine, own.weight, own.bias, own.eps)


@module(M.InstanceNorm)
def instance_norm_module(p: Primitives, own: M.InstanceNorm, x: Value) -> Value:
    """``megengine.module.InstanceNorm``."""
    return instance_norm(p, x, own.affine, own.weight, own.bias, own.eps)


@function(F.nn.general_norm)
def general_norm(
    p: Primitives,
    x: Value,
    normalized_axis: Any,
    affine: bool = True,
    weight: Optional[Operand] = None,
    bias: Optional[Operand] = None,
    eps: float = 1e-5,
) -> Value:
    """``megengine.functional.nn.general_norm``: over the given axes; the weight has their lengths."""
    axes = [axis % x.ndim for axis in whole_numbers(normalized_axis)]
    y = _standardised(p, x, axes, eps)
    if not affine:
        return y
    shape = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
    scale, shift = (known(each, "the weight").reshape(shape) for each in (weight, bias))
    return _scaled(p, y, True, scale, shift)


@module(M.GeneralNorm)
def general_norm_module(p: Primitives, own: M.GeneralNorm, x: Value) -> Value:
    """``megengine.module.GeneralNorm``."""
    return general_norm(p, x, own.normalized_axis, own.affine, own.weight, own.bias, own.eps)


@function(F.nn.local_response_norm)
def local_response_norm(
    p: Primitives, x: Value, kernel_size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> Value:
    """``megengine.functional.nn.local_response_norm``: x / (k + alpha * sum of squares of near channels) ** beta."""
    channels = x.shape[1]
    near = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels))) <= kernel_size // 2
    kernel = (near * alpha).astype(np.float32).reshape(channels, channels, 1, 1)
    total = p.convolution(p.mul(x, x), kernel, np.full(channels, k, np.float32), (1, 1), (0, 0), (1, 1), 1)
    return p.mul(x, p.binary("pow", total, number(-beta)))


@module(M.LocalResponseNorm)
def local_response_norm_module(p: Primitives, own: M.LocalResponseNorm, x: Value) -> Value:
    """``megengine.module.LocalResponseNorm``."""
    return local_response_norm(p, x, own.kernel_size, own.k, own.alpha, own.beta)
