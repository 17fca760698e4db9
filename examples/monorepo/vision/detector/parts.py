"""A small detector made of shared blocks: two results from one trunk."""

from __future__ import annotations

import megengine
import megengine.functional as F
import megengine.module as M
from shared.blocks import convolution, settle


class Parts(M.Module):
    """Takes images [n, 3, 16, 16] from 0 to 1, gives boxes [n, 4, 8, 8] and confidence from 0 to 1 [n, 1, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = M.Sequential(*convolution(3, 8, stride=2))
        self.boxes = M.Conv2d(8, 4, 1)
        self.confidence = M.Conv2d(8, 1, 1)

    def forward(self, image: megengine.Tensor) -> tuple[megengine.Tensor, megengine.Tensor]:
        features = self.trunk(image)
        return self.boxes(features), F.sigmoid(self.confidence(features))


def build() -> Parts:
    """The network with its seeded weights."""
    network = Parts()
    settle(network, seed=2)
    return network
