"""Squeeze-excite with hard-swish: MobileNetV3."""

from __future__ import annotations

from typing import Any, Sequence, Tuple

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn, Inverted, SqueezeExcite
from .registry import full, small

Row = Tuple[int, int, int, bool, Any, int]


class MobileNetV3(M.Module):
    """``plan``: kernel, hidden channels, channels, squeeze-excite, activation and stride of each block."""

    def __init__(self, plan: Sequence[Row], last: int, head: int, classes: int) -> None:
        super().__init__()
        inside = 16
        layers = [ConvBn(3, inside, 3, 2, act=F.hswish)]
        for kernel, hidden, outside, squeeze, act, stride in plan:
            gate = SqueezeExcite(hidden, hidden // 4) if squeeze else None
            layers.append(Inverted(inside, hidden, outside, kernel, stride, act, gate))
            inside = outside
        self.features = M.Sequential(*layers, ConvBn(inside, last, 1, act=F.hswish))
        self.hidden, self.classify = M.Linear(last, head), M.Linear(head, classes)
        self.drop = M.Dropout(0.2)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes)."""
        x = F.flatten(F.adaptive_avg_pool2d(self.features(x), (1, 1)), 1)
        return self.classify(self.drop(F.hswish(self.hidden(x))))


R, H = F.relu, F.hswish
LARGE = (
    (3, 16, 16, False, R, 1), (3, 64, 24, False, R, 2), (3, 72, 24, False, R, 1),
    (5, 72, 40, True, R, 2), (5, 120, 40, True, R, 1), (5, 120, 40, True, R, 1),
    (3, 240, 80, False, H, 2), (3, 200, 80, False, H, 1), (3, 184, 80, False, H, 1), (3, 184, 80, False, H, 1),
    (3, 480, 112, True, H, 1), (3, 672, 112, True, H, 1),
    (5, 672, 160, True, H, 2), (5, 960, 160, True, H, 1), (5, 960, 160, True, H, 1),
)  # fmt: skip
NETWORKS = {
    "V3": small(lambda: MobileNetV3(((3, 16, 16, True, R, 2), (5, 64, 24, True, H, 2)), 64, 32, 10), (1, 3, 64, 64)),
    "MobileNetV3-Large": full(lambda: MobileNetV3(LARGE, 960, 1280, 1000), (1, 3, 224, 224)),
}
