"""YOLO: slices into channels, spatial pyramid pooling, a pyramid of features, boxes as one result or several."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn
from .registry import full, small


class Csp(M.Module):
    """Half of the channels goes through bottlenecks, the other half around them."""

    def __init__(self, inside: int, outside: int, depth: int, adds: bool) -> None:
        super().__init__()
        half = outside // 2
        self.adds = adds
        self.a, self.b = ConvBn(inside, half, 1, act=F.silu), ConvBn(inside, half, 1, act=F.silu)
        self.blocks = [
            M.Sequential(ConvBn(half, half, 1, act=F.silu), ConvBn(half, half, 3, act=F.silu)) for _ in range(depth)
        ]
        self.c = ConvBn(2 * half, outside, 1, act=F.silu)

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, outside, h, w)."""
        y = self.a(x)
        for block in self.blocks:
            y = y + block(y) if self.adds else block(y)
        return self.c(F.concat([y, self.b(x)], 1))


class Pyramid(M.Module):
    """Spatial pyramid pooling, one maximum after another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = ConvBn(channels, channels // 2, 1, act=F.silu), ConvBn(2 * channels, channels, 1, act=F.silu)
        self.pool = M.MaxPool2d(5, 1, 2)

    def forward(self, x: Any) -> Any:
        """Keeps the shape."""
        x = self.a(x)
        y = self.pool(x)
        z = self.pool(y)
        return self.b(F.concat([x, y, z, self.pool(z)], 1))


class Yolo(M.Module):
    """``one``: all boxes as one result, decoded; else the three heads' raw results."""

    strides = (8, 16, 32)

    def __init__(self, widths: Sequence[int], depths: Sequence[int], classes: int, one: bool) -> None:
        super().__init__()
        self.one, self.each = one, classes + 5
        w0, w1, w2, w3 = widths
        self.stem = ConvBn(12, w0 // 2, 3, act=F.silu)

        def stage(inside: int, outside: int, depth: int) -> M.Module:
            return M.Sequential(ConvBn(inside, outside, 3, 2, act=F.silu), Csp(outside, outside, depth, True))

        self.low = M.Sequential(stage(w0 // 2, w0, depths[0]), stage(w0, w1, depths[1]))
        self.middle, self.high = stage(w1, w2, depths[2]), stage(w2, w3, depths[3])
        self.pyramid = Pyramid(w3)
        self.lead3, self.up3 = ConvBn(w3, w2, 1, act=F.silu), Csp(2 * w2, w2, depths[0], False)
        self.lead2, self.up2 = ConvBn(w2, w1, 1, act=F.silu), Csp(2 * w1, w1, depths[0], False)
        self.down2, self.out2 = ConvBn(w1, w1, 3, 2, act=F.silu), Csp(2 * w1, w2, depths[0], False)
        self.down3, self.out3 = ConvBn(w2, w2, 3, 2, act=F.silu), Csp(2 * w2, w3, depths[0], False)
        self.heads = [M.Conv2d(width, 3 * self.each, 1) for width in (w1, w2, w3)]

    def boxes(self, x: Any, stride: int) -> Any:
        """(n, 3 * each, h, w) -> (n, 3 * h * w, each)."""
        n, _, h, w = x.shape
        x = F.transpose(x.reshape(n, 3, self.each, h, w), (0, 1, 3, 4, 2))
        place, size, rest = F.split(x, [2, 4], axis=4)
        place = (F.sigmoid(place) * 2.0 - 0.5) * stride
        size = (F.sigmoid(size) * 2.0) ** 2 * float(stride)
        return F.concat([place, size, F.sigmoid(rest)], 4).reshape(n, -1, self.each)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, boxes, each), or three of (n, 3 * each, h / stride, w / stride)."""
        x = F.concat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        low = self.low(self.stem(x))
        middle = self.middle(low)
        lead3 = self.lead3(self.pyramid(self.high(middle)))
        up = F.vision.interpolate(lead3, scale_factor=2, mode="nearest")
        lead2 = self.lead2(self.up3(F.concat([up, middle], 1)))
        up = F.vision.interpolate(lead2, scale_factor=2, mode="nearest")
        first = self.up2(F.concat([up, low], 1))
        second = self.out2(F.concat([self.down2(first), lead2], 1))
        third = self.out3(F.concat([self.down3(second), lead3], 1))
        given = [head(part) for head, part in zip(self.heads, (first, second, third))]
        if not self.one:
            return given
        return F.concat([self.boxes(part, stride) for part, stride in zip(given, self.strides)], 1)


class Tiny(M.Module):
    """Leaky ReLU and maximum pooling, two heads, as YOLOv3-tiny has it."""

    def __init__(self) -> None:
        super().__init__()
        act = M.LeakyReLU(0.1)
        self.a = M.Sequential(ConvBn(3, 8, act=act), M.MaxPool2d(2), ConvBn(8, 16, act=act), M.MaxPool2d(2))
        self.b = M.Sequential(ConvBn(16, 32, act=act), M.MaxPool2d(2), ConvBn(32, 16, 1, act=act))
        self.far, self.near = M.Conv2d(16, 21, 1), M.Conv2d(32, 21, 1)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> a dict of both heads' raw results."""
        a = self.a(x)
        b = self.b(a)
        up = F.vision.interpolate(b, scale_factor=2, mode="nearest")
        return {"far": self.far(b), "near": self.near(F.concat([a, up], 1))}


NETWORKS = {
    "tiny, two results": small(Tiny, (1, 3, 64, 64)),
    "decoded boxes": small(lambda: Yolo((16, 16, 32, 32), (1, 1, 1, 1), 3, True), (1, 3, 64, 96)),
    "three results": small(lambda: Yolo((16, 16, 32, 32), (1, 1, 1, 1), 3, False), (1, 3, 64, 96)),
    "YOLOv5s-like": full(lambda: Yolo((64, 128, 256, 512), (1, 2, 3, 1), 80, True), (1, 3, 416, 416)),
}
