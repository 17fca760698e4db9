"""EfficientNet: inverted residuals with SiLU and squeeze-excite."""

from __future__ import annotations

from typing import Any, Sequence, Tuple

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn, Inverted, SqueezeExcite
from .registry import full, small


class EfficientNet(M.Module):
    """``plan``: expansion, channels, number, first stride and kernel of each stage."""

    def __init__(self, stem: int, plan: Sequence[Tuple[int, ...]], last: int, classes: int) -> None:
        super().__init__()
        layers, inside = [ConvBn(3, stem, 3, 2, act=F.silu)], stem
        for wider, outside, count, stride, kernel in plan:
            for place in range(count):
                hidden = inside * wider
                gate = SqueezeExcite(hidden, inside // 4, F.silu, F.sigmoid)
                layers.append(Inverted(inside, hidden, outside, kernel, 1 if place else stride, F.silu, gate))
                inside = outside
        self.features = M.Sequential(*layers, ConvBn(inside, last, 1, act=F.silu))
        self.pool, self.classify = M.AdaptiveAvgPool2d(1), M.Sequential(M.Dropout(0.2), M.Linear(last, classes))

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes)."""
        return self.classify(F.squeeze(self.pool(self.features(x)), (2, 3)))


B0 = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
NETWORKS = {
    "three stages": small(
        lambda: EfficientNet(16, ((1, 16, 1, 1, 3), (4, 24, 2, 2, 5), (4, 32, 1, 2, 3)), 64, 10), (1, 3, 64, 64)
    ),
    "EfficientNet-B0": full(lambda: EfficientNet(32, B0, 1280, 1000), (1, 3, 224, 224)),
}
