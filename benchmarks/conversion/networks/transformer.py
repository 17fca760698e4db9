"""Transformer encoders on tokens, with an embedding and a mask of padding."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import megengine.module as M

from .parts import EncoderLayer, parameter
from .registry import Whole, full, small


class Encoder(M.Module):
    """Tokens and a mask (1 where there is a token) into vectors, and the first one into classes."""

    def __init__(self, vocabulary: int, length: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.words, self.place = M.Embedding(vocabulary, width), parameter(1, length, width)
        self.layers = [EncoderLayer(width, heads, 4 * width) for _ in range(depth)]
        self.norm, self.pool, self.classify = M.LayerNorm(width), M.Linear(width, width), M.Linear(width, classes)

    def forward(self, tokens: Any, mask: Any) -> Any:
        """Two of (n, length) -> (n, length, width), (n, classes)."""
        x = self.words(tokens) + self.place
        bias = (1.0 - F.expand_dims(F.minimum(F.abs(mask), 1.0), (1, 2))) * -100.0
        for layer in self.layers:
            x = layer(x, bias)
        x = self.norm(x)
        return x, self.classify(F.tanh(self.pool(x[:, 0])))


class Plain(M.Module):
    """One layer on vectors, and the mean of what it gives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.classify = EncoderLayer(width, 4, 2 * width), M.Linear(width, 5)

    def forward(self, x: Any) -> Any:
        """(n, length, width) -> (n, 5)."""
        return F.logsoftmax(self.classify(F.mean(self.layer(x), axis=1)), axis=1)


NETWORKS = {
    "encoder of vectors": small(lambda: Plain(16), (2, 10, 16)),
    "encoder of tokens": small(lambda: Encoder(50, 12, 32, 4, 2, 3), Whole((2, 12), 50), (2, 12)),
    "6 layers of 384": full(lambda: Encoder(30000, 128, 384, 6, 6, 2), Whole((1, 128), 30000), (1, 128)),
}
