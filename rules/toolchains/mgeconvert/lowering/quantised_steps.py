"""The integers of a quantised layer, chosen so that TFLite's rounding is nearest to that of the network as trained.

TFLite's kernels multiply the sum of products by a fraction M from 1/2 to 1, round, shift right, and round again; both
roundings take halves away from zero. So a result goes up to half a unit of the product too early. The units are made
as small as int8 allows, channel by channel, and what is left is balanced between small and large results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from .grid import Grid
from .values import Array

MIDDLE = 32
"""The result, in steps from zero, at which the balance is even. No sample decides it: the bytes would follow the machine."""


@dataclass(frozen=True)
class Steps:
    """``weight`` int8 (out, ...), its ``scales`` (out), ``bias`` int32 (out) in units of the product, ``units`` (out)."""

    weight: Array
    scales: Array
    bias: Array
    units: Array


def steps_of(
    weight: Array, bias: Optional[Array], inside: Grid, kernel: Grid, out: Grid, relu: bool,
    by_channel: bool, rounded_bias: bool,
) -> Steps:  # fmt: skip
    """The integers of a convolution or a linear layer.

    ``weight`` (out, ...) and ``bias`` (out) are those of the network as trained. ``rounded_bias``: the
    network rounds the bias to units of the product of scales, as MegEngine does where the layer's input comes from a
    quantised layer directly. ``by_channel``: the kernel takes a scale for each channel.
    """
    whole = kernel.int8(weight).astype(np.int32)
    peaks = np.abs(whole).reshape(len(whole), -1).max(axis=1)
    finer = 127 // np.maximum(peaks if by_channel else np.full_like(peaks, peaks.max()), 1)
    unit = np.float64(np.float32(inside.scale) * np.float32(kernel.scale))
    offset = np.zeros(len(whole)) if bias is None else bias.astype(np.float64) / unit
    offset = np.round(offset) * finer if rounded_bias else np.round(offset * finer)

    ratio = out.scale / unit * finer
    fraction, exponent = np.frexp(1.0 / ratio)
    twice = exponent < 0  # only a shift to the right rounds a second time
    early = np.where(twice, 0.5 / fraction - (1.0 if relu else 0.0), 0.0)
    offset -= np.where(twice & relu, 1, 0)
    balanced = 1.0 + early / (MIDDLE * ratio)

    shape = (-1, *[1] * (whole.ndim - 1))
    limits = np.iinfo(np.int32)
    return Steps(
        weight=(whole * finer.reshape(shape)).astype(np.int8),
        scales=(kernel.scale / finer / balanced).astype(np.float32),
        bias=np.clip(offset, limits.min, limits.max).astype(np.int32),
        units=(unit / finer).astype(np.float32),
    )
