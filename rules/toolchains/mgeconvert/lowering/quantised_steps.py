"""The integers of a quantised layer, chosen so that TFLite rounds a result as the network as trained does.

TFLite's kernels multiply the sum of products by a fraction M0 from 1/2 to 1, round, shift right, and round again. The
first rounding makes a result go up to the next step 1/2 / M0 units of the sum too early. That is taken off the bias,
and what is left of it, less than one unit, matters the less the finer the units are: a layer that reads its input 256
times as fine, in 16 bits, sees one sum of thousands the wrong side of a half where int8 sees one of a few dozen.
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


def steps_of(layer: Layer, factor: int, by_channel: bool, halves_up: bool) -> Steps:
    """The integers of a layer whose input is ``factor`` times as fine as its grid.

    ``by_channel``: the kernel takes a scale for each channel. ``halves_up``: the kernel rounds halves up; else away from
    zero, where only the results of a ReLU, none of them below zero, can be put right.
    """
    whole = layer.kernel.stored(layer.weight).astype(np.int32)
    peaks = np.abs(whole).reshape(len(whole), -1).max(axis=1)
    finer = 127 // np.maximum(peaks if by_channel else np.full_like(peaks, peaks.max()), 1)
    finer = np.ones_like(finer) if factor > 1 else finer
    read = _Read(layer, layer.inside.widened(factor).scale if factor > 1 else layer.inside.scale, by_channel, halves_up)
    scales = (layer.kernel.scale / finer).astype(np.float32)
    fraction, exponent = np.frexp(read.multipliers(scales))
    twice = (exponent < 0) & (halves_up | layer.relu)  # only a shift to the right rounds a second time
    bias = np.round(layer.offset() * finer * factor - np.where(twice, 0.5 / fraction, 0.0)).clip(_INT32.min, _INT32.max)
    if factor > 1:
        scales, bias = _best(read, finer * factor, scales, bias)
    return Steps(
        weight=(whole * finer.reshape((-1, *[1] * (whole.ndim - 1)))).astype(np.int8),
        scales=scales,
        bias=bias.astype(np.int32),
        units=(layer.unit / (finer * factor)).astype(np.float32),
    )


@dataclass(frozen=True)
class _Read:
    """A layer as a kernel of TFLite computes it: ``scale`` is that of the input in the file."""

    layer: Layer
    scale: float
    by_channel: bool
    halves_up: bool

    def multipliers(self, scales: Array) -> Array:
        """What sums are multiplied by, from the scales of the weights: TFLite's GetQuantizedConvolutionMultipler."""
        product = np.float64(np.float32(self.scale)) * scales.astype(np.float64)
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


def _best(read: _Read, finer: Array, scales: Array, bias: Array) -> Tuple[Array, Array]:
    """The nearest scales and biases with which the fewest results, as a rule none, are on another step than as trained."""
    layer = read.layer
    first = 1 if layer.relu else layer.out.low - layer.out.zero_point + 1
    results = np.arange(first, layer.out.high - layer.out.zero_point + 1)
    halves = (results - 0.5) * layer.out.scale / layer.unit - layer.offset()[:, None]
    least = np.where(results > 0, np.ceil(halves), np.floor(halves) + 1).astype(np.int64)  # halves go away from zero
    wrong = np.full(len(bias), len(results) + 1)
    found = scales.copy(), bias.copy()
    for nudge in _NUDGES if read.by_channel else _NUDGES[:1]:
        for shift in _SHIFTS:
            rows = np.flatnonzero(wrong)
            scale = (scales[rows] * np.float32(1 + nudge * np.finfo(np.float32).eps)).astype(np.float32)
            offset = (bias[rows] + shift)[:, None].astype(np.int64)
            sums, by = least[rows] * finer[rows, None] + offset, read.multipliers(scale)
            below = read.results(sums - finer[rows, None], by) >= results
            count = ((read.results(sums, by) < results) | below).sum(axis=1)
            better = rows[count < wrong[rows]]
            found[0][better], found[1][better] = scale[count < wrong[rows]], bias[better] + shift
            wrong[rows] = np.minimum(wrong[rows], count)
    return found
