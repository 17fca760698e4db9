"""Normalisation, and softmax."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of
from .convolution import shaped


@operator("BatchNormalization")
def batch_normalisation(w: Walk, n: Node) -> Any:
    """With the stored statistics. What is not an image of channels is reshaped to one."""
    if n.attribute("training_mode", 0) or any(n.outputs[1:]):
        raise Unsupported("it is in training mode")
    x = w.tensor(w.input(0))
    names = ("weight", "bias", "mean", "variance")
    shape = (1, shape_of(x)[1], *[1] * (x.ndim - 2)) if x.ndim > 1 else shape_of(x)
    epsilon = n.attribute("epsilon", 1e-5)
    if x.ndim != 4:
        if not all(isinstance(value, np.ndarray) for value in w.inputs()[1:]):
            raise Unsupported("its statistics are computed from the network's inputs")
        weight, bias, mean, variance = (np.asarray(value, np.float64) for value in w.inputs()[1:])
        scale = weight / np.sqrt(variance + epsilon)
        factor, offset = (each.astype(np.float32).reshape(shape) for each in (scale, bias - mean * scale))
        return x * w.tensor(factor, "scale") + w.tensor(offset, "offset")
    weight, bias, mean, variance = (shaped(w, w.input(at), shape, role) for at, role in enumerate(names, 1))
    return F.nn.batch_norm(x, mean, variance, weight, bias, training=False, eps=epsilon)


@operator("InstanceNormalization")
def instance_normalisation(w: Walk, n: Node) -> Any:
    """Over all axes but batch and channel."""
    x, epsilon = w.tensor(w.input(0)), n.attribute("epsilon", 1e-5)
    shape = (1, shape_of(x)[1], *[1] * (x.ndim - 2))
    weight, bias = (shaped(w, w.input(at), shape, role) for at, role in ((1, "weight"), (2, "bias")))
    return _standard(x, list(range(2, x.ndim)), epsilon) * weight + bias


def _standard(x: Any, axes: Any, epsilon: float) -> Any:
    mean = F.mean(x, axes, keepdims=True)
    centred = x - mean
    return centred / F.sqrt(F.mean(centred * centred, axes, keepdims=True) + epsilon)


@operator("LayerNormalization")
def layer_normalisation(w: Walk, n: Node) -> Any:
    """Over the axes from ``axis`` on."""
    if any(n.outputs[1:]):
        raise Unsupported("mean and deviation are asked for")
    x, weight, bias = w.tensor(w.input(0)), w.input(1), w.input(2)
    axis = n.attribute("axis", -1) % x.ndim
    lengths, epsilon = shape_of(x)[axis:], n.attribute("epsilon", 1e-5)
    if axis == x.ndim - 1 and shape_of(weight) == lengths and (bias is None or shape_of(bias) == lengths):
        weight = w.tensor(weight, "weight")
        bias = F.zeros_like(weight) if bias is None else w.tensor(bias, "bias")
        return F.nn.layer_norm(x, lengths, True, weight, bias, epsilon)
    y = _standard(x, list(range(axis, x.ndim)), epsilon) * w.tensor(weight, "weight")
    return y if bias is None else y + w.tensor(bias, "bias")


@operator("GroupNormalization")
def group_normalisation(w: Walk, n: Node) -> Any:
    """Up to opset 20: scale and bias of each group."""
    x, groups = w.tensor(w.input(0)), n.attribute("num_groups")
    shape = shape_of(x)
    y = _standard(F.reshape(x, (shape[0], groups, -1)), [2], n.attribute("epsilon", 1e-5))
    weight, bias = (shaped(w, w.input(at), (1, groups, 1), role) for at, role in ((1, "weight"), (2, "bias")))
    return F.reshape(y * weight + bias, shape)


@operator("LRN")
def local_response(w: Walk, n: Node) -> Any:
    """Over neighbouring channels, by the sum of shifted squares."""
    x, size = w.tensor(w.input(0)), n.attribute("size")
    channels, before = shape_of(x)[1], (size - 1) // 2
    wide = [(0, 0), (before, size - 1 - before)] + [(0, 0)] * (x.ndim - 2)
    squares = F.nn.pad(x * x, tuple(wide))
    total = squares[:, 0:channels]
    for at in range(1, size):
        total = total + squares[:, at : at + channels]
    base = total * (n.attribute("alpha", 1e-4) / size) + n.attribute("bias", 1.0)
    return x / F.pow(base, n.attribute("beta", 0.75))


@operator("LpNormalization")
def lp_normalisation(w: Walk, n: Node) -> Any:
    """Divided by the 1- or 2-norm along an axis."""
    x, axis = w.tensor(w.input(0)), n.attribute("axis", -1)
    if n.attribute("p", 2) == 1:
        return x / F.sum(F.abs(x), axis, keepdims=True)
    return x / F.sqrt(F.sum(x * x, axis, keepdims=True))


@operator("MeanVarianceNormalization")
def mean_variance(w: Walk, n: Node) -> Any:
    """Over the given axes, with 1e-9 beside the deviation."""
    x, axes = w.tensor(w.input(0)), n.attribute("axes", [0, 2, 3])
    centred = x - F.mean(x, axes, keepdims=True)
    return centred / (F.sqrt(F.mean(centred * centred, axes, keepdims=True)) + 1e-9)


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(w: Walk, n: Node) -> Any:
    """Before opset 13 over all axes from ``axis`` (1) on as one, since then over ``axis`` (-1) alone."""
    x = w.tensor(w.input(0))
    axis = n.attribute("axis", 1 if n.opset < 13 else -1) % x.ndim
    if n.opset >= 13 or axis == x.ndim - 1:
        return _over(n.operator, x, axis)
    shape = shape_of(x)
    if all(length == 1 for length in shape[axis + 1 :]):
        return _over(n.operator, x, axis)
    flat = F.reshape(x, (int(np.prod(shape[:axis], dtype=np.int64)), -1))
    return F.reshape(_over(n.operator, flat, 1), shape)


def _over(name: str, x: Any, axis: int) -> Any:
    if name == "Hardmax":
        best = F.nn.one_hot(F.argmax(x, axis), shape_of(x)[axis]).astype("float32")
        order = [*range(x.ndim - 1)]
        order.insert(axis, x.ndim - 1)
        return F.transpose(best, order)
    return F.softmax(x, axis) if name == "Softmax" else F.logsoftmax(x, axis)
