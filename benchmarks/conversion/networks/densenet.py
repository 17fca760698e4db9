"""Dense concatenation: DenseNet, with batch normalisation before the convolutions."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .registry import full, small


class Layer(M.Module):
    """Normalisation, ReLU and convolution, twice; what it makes is put beside what it is given."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = M.BatchNorm2d(inside), M.Conv2d(inside, 4 * growth, 1, bias=False)
        self.bn2, self.conv2 = M.BatchNorm2d(4 * growth), M.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, inside + growth, h, w)."""
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        return F.concat([x, y], axis=1)


class Transition(M.Module):
    """Halves channels, height and width."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.bn, self.conv, self.pool = (
            M.BatchNorm2d(inside),
            M.Conv2d(inside, inside // 2, 1, bias=False),
            M.AvgPool2d(2),
        )

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, inside / 2, h / 2, w / 2)."""
        return self.pool(self.conv(F.relu(self.bn(x))))


class DenseNet(M.Module):
    """The classifier."""

    def __init__(self, growth: int, depths: Sequence[int], classes: int) -> None:
        super().__init__()
        width = 2 * growth
        self.conv, self.bn = M.Conv2d(3, width, 7, 2, 3, bias=False), M.BatchNorm2d(width)
        self.pool = M.MaxPool2d(3, 2, 1)
        layers: Any = []
        for number, depth in enumerate(depths):
            if number:
                layers.append(Transition(width))
                width //= 2
            layers += [Layer(width + place * growth, growth) for place in range(depth)]
            width += depth * growth
        self.layers, self.last, self.classify = M.Sequential(*layers), M.BatchNorm2d(width), M.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes)."""
        x = self.layers(self.pool(F.relu(self.bn(self.conv(x)))))
        return self.classify(F.mean(F.relu(self.last(x)), (2, 3)))


NETWORKS = {
    "two blocks of 3": small(lambda: DenseNet(8, (3, 3), 10), (1, 3, 64, 64)),
    "DenseNet-121": full(lambda: DenseNet(32, (6, 12, 24, 16), 1000), (1, 3, 224, 224)),
}
