"""Residual networks: basic blocks that add in place, and bottlenecks (ResNet-50)."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn
from .registry import full, small


class Basic(M.Module):
    """Two 3x3 convolutions; adds in place."""

    expansion = 1

    def __init__(self, inside: int, width: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        self.a = ConvBn(inside, width, 3, stride, dilation=dilation)
        self.b = ConvBn(width, width, 3, act=None, dilation=dilation)
        same = stride == 1 and inside == width
        self.short = M.Identity() if same else ConvBn(inside, width, 1, stride, act=None)

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, width, h / stride, w / stride)."""
        y = self.b(self.a(x))
        y += self.short(x)
        return F.relu(y)


class Bottleneck(M.Module):
    """1x1, 3x3 and 1x1 convolutions, four times as wide at the end; ``groups`` of them make ResNeXt."""

    expansion = 4

    def __init__(
        self, inside: int, width: int, stride: int, dilation: int = 1, groups: int = 1, per_group: int = 0
    ) -> None:
        super().__init__()
        middle, outside = groups * per_group or width, width * self.expansion
        if groups > 1:
            middle = middle * width // 64
        self.a, self.b = ConvBn(inside, middle, 1), ConvBn(middle, middle, 3, stride, groups, dilation=dilation)
        self.c = ConvBn(middle, outside, 1, act=None)
        same = stride == 1 and inside == outside
        self.short = M.Identity() if same else ConvBn(inside, outside, 1, stride, act=None)

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, 4 * width, h / stride, w / stride)."""
        y = self.c(self.b(self.a(x)))
        y += self.short(x)
        return F.relu(y)


class Backbone(M.Module):
    """Stem and four stages; gives the results of all stages."""

    def __init__(
        self,
        block: Any,
        depths: Sequence[int],
        width: int = 64,
        dilations: Sequence[int] = (1, 1, 1, 1),
        **options: int,
    ) -> None:
        super().__init__()
        self.stem, self.pool = ConvBn(3, width, 7, 2), M.MaxPool2d(3, 2, 1)
        self.stages, inside = [], width
        self.channels = []
        for number, (depth, dilation) in enumerate(zip(depths, dilations)):
            blocks = []
            outside = width << number
            for place in range(depth):
                stride = 2 if place == 0 and number > 0 and dilation == 1 else 1
                blocks.append(block(inside, outside, stride, dilation, **options))
                inside = outside * block.expansion
            self.stages.append(M.Sequential(*blocks))
            self.channels.append(inside)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> the stages' results, from h / 4 to h / 32."""
        x = self.pool(self.stem(x))
        given = []
        for stage in self.stages:
            x = stage(x)
            given.append(x)
        return given


class ResNet(M.Module):
    """The classifier; ``window`` is that of the last pooling, which takes all that is left where it is 0."""

    def __init__(self, classes: int, window: int, *backbone: Any, **options: Any) -> None:
        super().__init__()
        self.window = window
        self.backbone = Backbone(*backbone, **options)
        self.classify = M.Linear(self.backbone.channels[-1], classes)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes)."""
        x = self.backbone(x)[-1]
        x = F.avg_pool2d(x, self.window) if self.window else F.adaptive_avg_pool2d(x, 1)
        return self.classify(F.flatten(x, 1))


NETWORKS = {
    "basic blocks": small(lambda: ResNet(10, 2, Basic, (1, 1, 1), 16), (1, 3, 32, 32)),
    "bottlenecks, batch of 2": small(lambda: ResNet(10, 0, Bottleneck, (1, 1), 8), (2, 3, 40, 56)),
    "ResNet-50": full(lambda: ResNet(1000, 7, Bottleneck, (3, 4, 6, 3)), (1, 3, 224, 224)),
}
