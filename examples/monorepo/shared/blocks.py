"""Parts of networks that several models are made of."""

from __future__ import annotations

import megengine.module as M
import numpy as np

SPREAD = 1.5
"""How far the seeded weights reach, in units of what keeps a signal about as strong as it was."""


def convolution(channels_in: int, channels_out: int, stride: int = 1) -> list[M.Module]:
    """A 3 x 3 convolution and its nonlinearity; [n, in, h, w] -> [n, out, h / stride, w / stride]."""
    return [M.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1), M.ReLU()]


def settle(network: M.Module, seed: int) -> None:
    """Gives every parameter values that depend on the seed alone."""
    source = np.random.RandomState(seed)
    for _, parameter in sorted(network.named_parameters()):
        fan = max(1, int(np.prod(parameter.shape[1:])))
        parameter[...] = (source.uniform(-SPREAD, SPREAD, parameter.shape) / np.sqrt(fan)).astype("float32")
