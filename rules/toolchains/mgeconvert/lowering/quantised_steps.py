"""The integers of a quantised layer, and how they are chosen so that TFLite rounds as the network as trained does.

Most kernels of TFLite multiply the sum of products by a fraction M0 from 1/2 to 1, round, shift right, and round again.
The first rounding makes a result go up to the next step 1/2 / M0 units of the sum too early, which is one sum of a few
hundred in int8. An exact layer reads its input 256 times as fine, in 16 bits: now there are 256 units from one sum of
the network to the next, and room for a bias and a scale with which no sum at all falls on the wrong side of a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from .grid import Grid
from .values import Array

_ENOUGH = 256
"""How much finer the input of an exact layer is, where its sums of products still fit 32 bits."""
_INT32 = np.iinfo(np.int32)
_SHIFTS, _NUDGES = (0, 1, -1, 2, -2), (0, *(sign << n for n in range(6) for sign in (1, -1)))
"""What is tried around the right bias, in units, and around the right scale of a channel, in its last binary digits."""


@dataclass(frozen=True)
class Steps:
    """``weight`` int8 (out, ...), its ``scales`` (out), ``bias`` int32 (out) in units of the product, ``units`` (out)."""

    weight: Array
    scales: Array
    bias: Array
    units: Array


@dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer between grids: ``weight`` (out, ...) and ``bias`` (out) as trained.

    ``rounded_bias``: the bias is a whole number of units of the product of scales.
    """

    weight: Array
    bias: Optional[Array]
    inside: Grid
    kernel: Grid
    out: Grid
    relu: bool
    rounded_bias: bool

    @property
    def unit(self) -> np.float64:
        """What one step of the input times one of the weights is worth."""
        return np.float64(np.float32(self.inside.scale) * np.float32(self.kernel.scale))

    def offset(self) -> Array:
        """The bias in units of the product."""
        if self.bias is None:
            return np.zeros(len(self.weight))
        offset = self.bias.astype(np.float64) / self.unit
        return np.round(offset) if self.rounded_bias else offset

    def finest(self) -> int:
        """How much finer, a power of two, the input may be in 16 bits without a sum beyond 32 bits."""
        rows = np.abs(self.kernel.stored(self.weight).astype(np.int64)).reshape(len(self.weight), -1)
        largest = float((rows.sum(axis=1) * self.inside.reach + np.abs(self.offset())).max())
        room = min(_ENOUGH, 32768 // self.inside.reach, int(_INT32.max // (largest + 2)))
        return 1 << max(room.bit_length() - 1, 0)


def plain(layer: Layer) -> Steps:
    """The integers of a layer as it was trained: what kernels that multiply in float, as those of XNNPACK do, round best."""
    whole = layer.kernel.stored(layer.weight)
    return _steps(layer, 1, np.full(len(whole), layer.kernel.scale, np.float32), np.round(layer.offset()))


def exact(layer: Layer, factor: int, by_channel: bool, halves_up: bool) -> Steps:
    """The integers of a layer whose input is ``factor`` times as fine as its grid.

    ``by_channel``: the kernel takes a scale for each channel. ``halves_up``: the kernel rounds halves up; else away from
    zero, where the bias can put right the results of a ReLU alone, none of which is below zero.
    """
    read = _Read(layer, factor, by_channel, halves_up)
    scales = np.full(len(layer.weight), layer.kernel.scale, np.float32)
    fraction, exponent = np.frexp(read.multipliers(scales))
    twice = (exponent < 0) & (halves_up | layer.relu)  # only a shift to the right rounds a second time
    bias = np.round(layer.offset() * factor - np.where(twice, 0.5 / fraction, 0.0))
    return _steps(layer, factor, *_best(read, scales, bias))


def _steps(layer: Layer, factor: int, scales: Array, bias: Array) -> Steps:
    whole = layer.kernel.stored(layer.weight)
    units = np.full(len(whole), layer.unit / factor, np.float32)
    return Steps(whole, scales, bias.clip(_INT32.min, _INT32.max).astype(np.int32), units)


@dataclass(frozen=True)
class _Read:
    """A layer as a kernel of TFLite computes it."""

    layer: Layer
    factor: int
    by_channel: bool
    halves_up: bool

    def multipliers(self, scales: Array) -> Array:
        """What sums are multiplied by, from the scales of the weights: TFLite's GetQuantizedConvolutionMultipler."""
        product = np.float64(self.layer.inside.widened(self.factor).scale) * scales.astype(np.float64)
        product = product if self.by_channel else product.astype(np.float32).astype(np.float64)
        return product / np.float64(np.float32(self.layer.out.scale))

    def results(self, sums: Array, multipliers: Array) -> Array:
        """Whole numbers of the results' grid, from zero: TFLite's MultiplyByQuantizedMultiplier, and ruy's."""
        fraction, exponent = np.frexp(multipliers)
        whole = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)[:, None]
        left, right = np.maximum(exponent, 0)[:, None], np.maximum(-exponent, 0)[:, None].astype(np.int64)
        half = (np.int64(1) << right) >> 1
        if self.halves_up:
            return ((((sums << left) * whole + (1 << 30)) >> 31) + half) >> right
        size = ((((np.abs(sums) << left) * whole + (1 << 30)) >> 31) + half) >> right
        return np.where(sums < 0, -size, size)


def _best(read: _Read, scales: Array, bias: Array) -> Tuple[Array, Array]:
    """The nearest scales and biases with which the fewest results, as a rule none, are on another step than as trained."""
    layer = read.layer
    first = 1 if layer.relu else layer.out.low - layer.out.zero_point + 1
    results = np.arange(first, layer.out.high - layer.out.zero_point + 1)
    halves = (results - 0.5) * layer.out.scale / layer.unit - layer.offset()[:, None]
    least = np.where(results > 0, np.ceil(halves), np.floor(halves) + 1).astype(np.int64)  # halves go away from zero
    wrong = np.full(len(bias), len(results) + 1)
    found = scales.copy(), bias.copy()
    for nudge in _NUDGES:
        rows = np.flatnonzero(wrong) if read.by_channel else np.arange(len(bias) if wrong.any() else 0)
        scale = (scales[rows] * np.float32(1 + nudge * np.finfo(np.float32).eps)).astype(np.float32)
        shifted, count = _shifted(read, results, least[rows], scale, bias[rows])
        better = count < wrong[rows] if read.by_channel else np.full(len(rows), count.sum() < wrong.sum())
        found[0][rows[better]], found[1][rows[better]] = scale[better], shifted[better]
        wrong[rows[better]] = count[better]
    return found


def _shifted(read: _Read, results: Array, least: Array, scales: Array, bias: Array) -> Tuple[Array, Array]:
    """The nearest biases with which the fewest results are wrong, and how many are.

    ``least`` (out, results) are the sums of products, without the bias, from which on the network makes each result.
    """
    wrong, found = np.full(len(bias), len(results) + 1), bias.copy()
    for shift in _SHIFTS:
        rows = np.flatnonzero(wrong)
        by = read.multipliers(scales[rows])
        sums = least[rows] * read.factor + (bias[rows] + shift)[:, None].astype(np.int64)
        reached = np.abs(sums) < _INT32.max
        sums = np.where(reached, sums, 0)
        early, late = read.results(sums - read.factor, by) >= results, read.results(sums, by) < results
        count = ((early | late) & reached).sum(axis=1)
        better = count < wrong[rows]
        found[rows[better]] = bias[rows[better]] + shift
        wrong[rows[better]] = count[better]
    return found, wrong
