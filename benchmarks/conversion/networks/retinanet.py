"""RetinaNet: a feature pyramid, and heads that all levels share."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .registry import full, small
from .residual import Backbone, Basic, Bottleneck


class FeaturePyramid(M.Module):
    """Adds each level to the one below, and makes two more above."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.side = [M.Conv2d(inside, width, 1) for inside in channels]
        self.out = [M.Conv2d(width, width, 3, padding=1) for _ in channels]
        self.more = [M.Conv2d(channels[-1], width, 3, 2, 1), M.Conv2d(width, width, 3, 2, 1)]

    def forward(self, levels: Any) -> Any:
        """Stages from h / 8 to h / 32 -> levels from h / 8 to h / 128."""
        sides = [side(level) for side, level in zip(self.side, levels)]
        for place in range(len(sides) - 1, 0, -1):
            size = sides[place - 1].shape[2:]
            sides[place - 1] = sides[place - 1] + F.vision.interpolate(sides[place], size=size, mode="nearest")
        given = [out(side) for out, side in zip(self.out, sides)]
        given.append(self.more[0](levels[-1]))
        given.append(self.more[1](F.relu(given[-1])))
        return given


class Head(M.Module):
    """Convolutions with group normalisation that keep the size, and one that predicts."""

    def __init__(self, width: int, depth: int, outside: int) -> None:
        super().__init__()
        layers: Any = []
        for _ in range(depth):
            layers += [M.Conv2d(width, width, 3, padding=1, bias=False), M.GroupNorm(width // 4, width), M.ReLU()]
        self.body, self.predict = M.Sequential(*layers), M.Conv2d(width, outside, 3, padding=1)

    def forward(self, x: Any) -> Any:
        """(n, width, h, w) -> (n, outside, h, w)."""
        return self.predict(self.body(x))


class RetinaNet(M.Module):
    """Scores and boxes of all anchors."""

    def __init__(self, backbone: M.Module, width: int, depth: int, classes: int, anchors: int = 9) -> None:
        super().__init__()
        self.backbone, self.classes = backbone, classes
        self.pyramid = FeaturePyramid(backbone.channels[1:], width)
        self.scores, self.boxes = Head(width, depth, anchors * classes), Head(width, depth, anchors * 4)

    def rows(self, x: Any, each: int) -> Any:
        """(n, anchors * each, h, w) -> (n, h * w * anchors, each)."""
        n, c, h, w = x.shape
        x = F.transpose(x.reshape(n, c // each, each, h, w), (0, 3, 4, 1, 2))
        return x.reshape(n, -1, each)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, anchors, classes) of probabilities, (n, anchors, 4)."""
        levels = self.pyramid(self.backbone(x)[1:])
        scores = F.concat([self.rows(self.scores(level), self.classes) for level in levels], 1)
        boxes = F.concat([self.rows(self.boxes(level), 4) for level in levels], 1)
        return F.sigmoid(scores), boxes


NETWORKS = {
    "five levels": small(lambda: RetinaNet(Backbone(Basic, (1, 1, 1, 1), 8), 8, 1, 3), (1, 3, 128, 128)),
    "RetinaNet-R50": full(lambda: RetinaNet(Backbone(Bottleneck, (3, 4, 6, 3)), 256, 4, 80), (1, 3, 256, 256)),
}
