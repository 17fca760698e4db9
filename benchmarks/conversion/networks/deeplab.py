"""DeepLab: dilated convolutions, a pyramid of them, a decoder."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn
from .registry import full, small
from .residual import Backbone, Basic, Bottleneck


class DilatedPyramid(M.Module):
    """Convolutions of several dilations beside the mean of the picture."""

    def __init__(self, inside: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.point = ConvBn(inside, width, 1)
        self.dilated = [ConvBn(inside, width, 3, dilation=dilation) for dilation in dilations]
        self.mean = ConvBn(inside, width, 1)
        self.join, self.drop = ConvBn((len(dilations) + 2) * width, width, 1), M.Dropout(0.5)

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, width, h, w)."""
        mean = self.mean(F.adaptive_avg_pool2d(x, 1))
        parts = [self.point(x), *(part(x) for part in self.dilated)]
        parts.append(F.vision.interpolate(mean, size=x.shape[2:], mode="bilinear", align_corners=False))
        return self.drop(self.join(F.concat(parts, 1)))


class DeepLab(M.Module):
    """DeepLabV3+: the first stage comes in again before the classes."""

    def __init__(self, backbone: M.Module, width: int, side: int, dilations: Sequence[int], classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = DilatedPyramid(backbone.channels[-1], width, dilations)
        self.side, self.last = ConvBn(backbone.channels[0], side, 1), ConvBn(width + side, width)
        self.classify = M.Conv2d(width, classes, 1)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes, h, w)."""
        stages = self.backbone(x)
        y = self.pyramid(stages[-1])
        y = F.vision.interpolate(y, size=stages[0].shape[2:], mode="bilinear", align_corners=True)
        y = self.classify(self.last(F.concat([self.side(stages[0]), y], 1)))
        return F.vision.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True)


NETWORKS = {
    "dilations of 2 and 4": small(
        lambda: DeepLab(Backbone(Basic, (1, 1, 1), 8, (1, 1, 2)), 16, 4, (2, 4), 5), (1, 3, 64, 64)
    ),
    "DeepLabV3+-R50": full(
        lambda: DeepLab(Backbone(Bottleneck, (3, 4, 6, 3), 64, (1, 1, 1, 2)), 256, 48, (6, 12, 18), 21),
        (1, 3, 160, 160),
    ),
}
