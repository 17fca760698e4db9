"""Channel shuffle with shapes read at run time: ShuffleNetV1's grouped units and ShuffleNetV2."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn
from .registry import full, small


class GroupedUnit(M.Module):
    """ShuffleNetV1's unit: grouped pointwise convolutions with a shuffle between."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.a = ConvBn(channels, channels // 4, 1, groups=groups)
        self.b = ConvBn(channels // 4, channels // 4, 3, groups=channels // 4, act=None)
        self.c = ConvBn(channels // 4, channels, 1, groups=groups, act=None)

    def forward(self, x: Any) -> Any:
        """Keeps the shape."""
        y = self.a(x)
        n, c, h, w = y.shape
        y = F.transpose(y.reshape(n, self.groups, c // self.groups, h, w), (0, 2, 1, 3, 4)).reshape(n, c, h, w)
        return F.relu(x + self.c(self.b(y)))


class Unit(M.Module):
    """ShuffleNetV2's unit; the shuffle is before the split of the next one."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        half = outside // 2
        start = inside // 2 if stride == 1 else inside
        self.main = M.Sequential(
            ConvBn(start, half, 1), ConvBn(half, half, 3, stride, half, None), ConvBn(half, outside - half, 1)
        )
        if stride == 2:
            self.side = M.Sequential(ConvBn(inside, inside, 3, 2, inside, None), ConvBn(inside, half, 1))

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, outside, h / stride, w / stride)."""
        if self.stride == 2:
            return F.concat([self.side(x), self.main(x)], 1)
        n, c, h, w = x.shape
        x = x.reshape(n * c // 2, 2, h * w)
        x = F.transpose(x, (1, 0, 2)).reshape(2, -1, c // 2, h, w)
        return F.concat([x[0], self.main(x[1])], 1)


class ShuffleNetV2(M.Module):
    """The classifier."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.stem, self.pool = ConvBn(3, widths[0], 3, 2), M.MaxPool2d(3, 2, 1)
        units = []
        for inside, outside, depth in zip(widths, widths[1:-1], depths):
            units += [Unit(inside, outside, 2), *(Unit(outside, outside, 1) for _ in range(depth - 1))]
        self.units, self.last = M.Sequential(*units), ConvBn(widths[-2], widths[-1], 1)
        self.classify = M.Linear(widths[-1], classes)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes)."""
        x = self.last(self.units(self.pool(self.stem(x))))
        return self.classify(F.mean(x, [2, 3]))


class ShuffleNetV1(M.Module):
    """A stem and two grouped units."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.units = ConvBn(3, 24, 3, 2), M.Sequential(GroupedUnit(24, 3), GroupedUnit(24, 3))
        self.classify = M.Linear(24, 10)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, 10)."""
        return self.classify(F.flatten(F.adaptive_avg_pool2d(self.units(self.stem(x)), 1), 1))


NETWORKS = {
    "V1, grouped": small(ShuffleNetV1, (1, 3, 32, 32)),
    "V2": small(lambda: ShuffleNetV2((16, 24, 32, 48), (2, 2), 10), (1, 3, 64, 64)),
    "ShuffleNetV2 1.0x": full(lambda: ShuffleNetV2((24, 116, 232, 464, 1024), (4, 8, 4), 1000), (1, 3, 224, 224)),
}
