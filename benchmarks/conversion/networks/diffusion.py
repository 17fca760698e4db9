"""A block of a diffusion U-Net: group normalisation, SiLU, a time embedding as an input, attention over the picture."""

from __future__ import annotations

from typing import Any

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np

from .parts import SelfAttention
from .registry import full, small


class TimeEmbedding(M.Module):
    """Sines and cosines of the step, and two linear layers."""

    def __init__(self, width: int, outside: int) -> None:
        super().__init__()
        half = width // 2
        self.rates = mge.Tensor(np.exp(-np.log(1e4) * np.arange(half, dtype="float32") / half).reshape(1, half))
        self.a, self.b = M.Linear(width, outside), M.Linear(outside, outside)

    def forward(self, step: Any) -> Any:
        """(n, 1) -> (n, outside)."""
        angles = step * self.rates
        return self.b(F.silu(self.a(F.concat([F.sin(angles), F.cos(angles)], 1))))


class Residual(M.Module):
    """Two convolutions with the time between them."""

    def __init__(self, inside: int, outside: int, time: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = M.GroupNorm(groups, inside), M.Conv2d(inside, outside, 3, padding=1)
        self.time = M.Linear(time, outside)
        self.norm2, self.conv2 = M.GroupNorm(groups, outside), M.Conv2d(outside, outside, 3, padding=1)
        self.short = M.Conv2d(inside, outside, 1) if inside != outside else M.Identity()

    def forward(self, x: Any, time: Any) -> Any:
        """(n, inside, h, w), (n, time) -> (n, outside, h, w)."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = y + F.expand_dims(self.time(F.silu(time)), (2, 3))
        return self.short(x) + self.conv2(F.silu(self.norm2(y)))


class Attention(M.Module):
    """Self-attention over the places of a picture."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.norm, self.attention = M.GroupNorm(groups, channels), SelfAttention(channels, heads)

    def forward(self, x: Any) -> Any:
        """Keeps the shape."""
        n, c, h, w = x.shape
        y = F.transpose(self.norm(x).reshape(n, c, h * w), (0, 2, 1))
        return x + F.transpose(self.attention(y), (0, 2, 1)).reshape(n, c, h, w)


class Block(M.Module):
    """Down by a strided convolution, up by interpolation; ``heads`` of attention below, where there are any.

    ``embeds``: the second input is the step; else it is the step's embedding.
    """

    def __init__(self, latent: int, width: int, heads: int, groups: int, embeds: bool) -> None:
        super().__init__()
        time = 4 * width
        self.time = TimeEmbedding(width, time) if embeds else M.Identity()
        self.start = M.Conv2d(latent, width, 3, padding=1)
        self.top, self.down = Residual(width, width, time, groups), M.Conv2d(width, width, 3, 2, 1)
        self.low = Residual(width, 2 * width, time, groups)
        self.attention = Attention(2 * width, heads, groups) if heads else M.Identity()
        self.up, self.join = M.Conv2d(2 * width, width, 3, padding=1), Residual(2 * width, width, time, groups)
        self.norm, self.end = M.GroupNorm(groups, width), M.Conv2d(width, latent, 3, padding=1)

    def forward(self, x: Any, step: Any) -> Any:
        """(n, latent, h, w), (n, 1) or (n, 4 * width) -> (n, latent, h, w)."""
        time = self.time(step)
        top = self.top(self.start(x), time)
        low = self.attention(self.low(self.down(top), time))
        up = self.up(F.vision.interpolate(low, scale_factor=2, mode="nearest"))
        y = self.join(F.concat([up, top], 1), time)
        return self.end(F.silu(self.norm(y)))


NETWORKS = {
    "with attention": small(lambda: Block(4, 16, 4, 4, True), (1, 4, 8, 8), (1, 1)),
    "without attention, embedding as input": small(lambda: Block(4, 16, 0, 4, False), (2, 4, 8, 8), (2, 64)),
    "320 channels, 32x32": full(lambda: Block(4, 320, 8, 32, True), (1, 4, 32, 32), (1, 1)),
}
