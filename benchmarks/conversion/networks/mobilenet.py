"""Depthwise networks with dropout: MobileNetV1 and MobileNetV2."""

from __future__ import annotations

from typing import Any, Sequence, Tuple

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn, Inverted
from .registry import full, small


class MobileNetV1(M.Module):
    """Depthwise and pointwise convolutions in turns."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        layers = [ConvBn(3, widths[0], 3, 2, act=F.relu6)]
        for inside, outside in zip(widths[:-1], widths[1:]):
            layers += [
                ConvBn(inside, inside, 3, 2 if outside > inside else 1, inside, F.relu6),
                ConvBn(inside, outside, 1, act=F.relu6),
            ]
        self.features = M.Sequential(*layers)
        self.drop, self.classify = M.Dropout(0.5), M.Linear(widths[-1], classes)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes) of probabilities."""
        x = F.mean(self.features(x), axis=(2, 3))
        return F.softmax(self.classify(self.drop(x)), axis=1)


class MobileNetV2(M.Module):
    """Inverted residuals: ``plan`` says expansion, channels, number and first stride of each stage."""

    def __init__(
        self, stem: int, plan: Sequence[Tuple[int, int, int, int]], last: int, window: int, classes: int
    ) -> None:
        super().__init__()
        self.window = window
        layers, inside = [ConvBn(3, stem, 3, 2, act=F.relu6)], stem
        for wider, outside, count, stride in plan:
            for place in range(count):
                layers.append(Inverted(inside, inside * wider, outside, 3, 1 if place else stride, F.relu6))
                inside = outside
        self.features = M.Sequential(*layers, ConvBn(inside, last, 1, act=F.relu6))
        self.classify = M.Sequential(M.Dropout(0.2), M.Linear(last, classes))

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes); the last pooling takes all that is left of h and w."""
        x = F.avg_pool2d(self.features(x), self.window)
        return self.classify(x.reshape(x.shape[0], -1))


PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
NETWORKS = {
    "V1": small(lambda: MobileNetV1((8, 16, 16, 32), 10), (1, 3, 32, 32)),
    "V2": small(lambda: MobileNetV2(16, ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 1, 2)), 64, 8, 10), (1, 3, 64, 64)),
    "MobileNetV2": full(lambda: MobileNetV2(32, PLAN, 1280, 7, 1000), (1, 3, 224, 224)),
}
