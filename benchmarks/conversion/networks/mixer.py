"""MLP-Mixer."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import megengine.module as M

from .parts import Mlp
from .registry import full, small


class Layer(M.Module):
    """Mixes tokens, then channels."""

    def __init__(self, length: int, width: int, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.tokens = M.LayerNorm(width), Mlp(length, tokens)
        self.norm2, self.channels = M.LayerNorm(width), Mlp(width, channels)

    def forward(self, x: Any) -> Any:
        """Keeps the shape (n, length, width)."""
        x = x + F.transpose(self.tokens(F.transpose(self.norm1(x), (0, 2, 1))), (0, 2, 1))
        return x + self.channels(self.norm2(x))


class Mixer(M.Module):
    """Patches, layers, the mean of the tokens."""

    def __init__(self, side: int, patch: int, width: int, tokens: int, channels: int, depth: int, classes: int) -> None:
        super().__init__()
        self.patches, length = M.Conv2d(3, width, patch, patch), (side // patch) ** 2
        self.layers = M.Sequential(*(Layer(length, width, tokens, channels) for _ in range(depth)))
        self.norm, self.classify = M.LayerNorm(width), M.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        """(n, 3, side, side) -> (n, classes)."""
        x = self.patches(x)
        x = F.transpose(x.reshape(x.shape[0], x.shape[1], -1), (0, 2, 1))
        return self.classify(F.mean(self.norm(self.layers(x)), axis=1))


NETWORKS = {
    "two layers": small(lambda: Mixer(32, 8, 12, 24, 32, 2, 10), (1, 3, 32, 32)),
    "Mixer-S/16": full(lambda: Mixer(224, 16, 512, 256, 2048, 8, 1000), (1, 3, 224, 224)),
}
