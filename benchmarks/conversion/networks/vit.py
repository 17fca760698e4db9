"""Vision transformer."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import megengine.module as M

from .parts import EncoderLayer, parameter
from .registry import full, small


class VisionTransformer(M.Module):
    """Patches, a class token, layers of attention."""

    def __init__(self, side: int, patch: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.width, count = width, (side // patch) ** 2
        self.patches = M.Conv2d(3, width, patch, patch)
        self.token, self.place = parameter(1, 1, width), parameter(1, count + 1, width)
        self.layers = M.Sequential(*(EncoderLayer(width, heads, 4 * width) for _ in range(depth)))
        self.norm, self.classify = M.LayerNorm(width), M.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        """(n, 3, side, side) -> (n, classes)."""
        x = F.transpose(F.flatten(self.patches(x), 2), (0, 2, 1))
        x = F.concat([F.broadcast_to(self.token, (x.shape[0], 1, self.width)), x], axis=1) + self.place
        return self.classify(self.norm(self.layers(x))[:, 0])


NETWORKS = {
    "one layer": small(lambda: VisionTransformer(32, 8, 32, 4, 1, 10), (1, 3, 32, 32)),
    "batch of 2": small(lambda: VisionTransformer(32, 8, 32, 4, 2, 10), (2, 3, 32, 32)),
    "ViT-S/16": full(lambda: VisionTransformer(224, 16, 384, 6, 12, 1000), (1, 3, 224, 224)),
}
