"""Keypoints: heat maps by transposed convolutions, an hourglass, and the places of the maxima (soft argmax)."""

from __future__ import annotations

from typing import Any, Sequence

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np

from .parts import ConvBn
from .registry import full, small
from .residual import Backbone, Basic, Bottleneck


class SimpleBaseline(M.Module):
    """A residual backbone, and transposed convolutions up to a quarter of the picture."""

    def __init__(self, backbone: M.Module, widths: Sequence[int], points: int) -> None:
        super().__init__()
        self.backbone = backbone
        layers, inside = [], backbone.channels[-1]
        for outside in widths:
            layers += [M.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), M.BatchNorm2d(outside), M.ReLU()]
            inside = outside
        self.up, self.maps = M.Sequential(*layers), M.Conv2d(inside, points, 1)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, points, h / 4, w / 4)."""
        return self.maps(self.up(self.backbone(x)[-1]))


class Hourglass(M.Module):
    """Down and up again with additions, then the mean place of each map."""

    def __init__(self, width: int, points: int, size: int) -> None:
        super().__init__()
        self.start, self.down, self.low, self.side = (ConvBn(a, width) for a in (3, width, width, width))
        self.maps = M.Conv2d(width, points, 1)
        grid = np.linspace(0.0, 1.0, size, dtype="float32")
        self.across, self.along = mge.Tensor(grid.reshape(1, 1, 1, size)), mge.Tensor(grid.reshape(1, 1, size, 1))

    def forward(self, x: Any) -> Any:
        """(n, 3, size, size) -> (n, points, size, size), (n, points, 2)."""
        x = self.start(x)
        low = self.low(self.down(F.max_pool2d(x, 2)))
        maps = self.maps(self.side(x) + F.vision.interpolate(low, scale_factor=2, mode="nearest"))
        n, points, h, w = maps.shape
        chance = F.softmax(maps.reshape(n, points, h * w), axis=2).reshape(n, points, h, w)
        places = [F.sum(chance * axis, axis=(2, 3)) for axis in (self.across, self.along)]
        return maps, F.stack(places, axis=2)


NETWORKS = {
    "heat maps": small(lambda: SimpleBaseline(Backbone(Basic, (1, 1, 1), 8), (16, 8), 5), (1, 3, 64, 48)),
    "hourglass, soft argmax": small(lambda: Hourglass(8, 5, 16), (1, 3, 16, 16)),
    "SimpleBaseline-R50": full(
        lambda: SimpleBaseline(Backbone(Bottleneck, (3, 4, 6, 3)), (256, 256, 256), 17), (1, 3, 256, 192)
    ),
}
