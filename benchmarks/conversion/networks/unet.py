"""U-Net, upwards by transposed convolution or by bilinear interpolation."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn
from .registry import full, small


class Twice(M.Sequential):
    """Two 3x3 convolutions."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(ConvBn(inside, outside), ConvBn(outside, outside))


class UNet(M.Module):
    """``widths`` from the top to the bottom."""

    def __init__(self, widths: Sequence[int], classes: int, bilinear: bool) -> None:
        super().__init__()
        self.bilinear = bilinear
        self.start, self.pool = Twice(3, widths[0]), M.MaxPool2d(2, 2)
        pairs = list(zip(widths, widths[1:]))
        self.down = [Twice(top, low) for top, low in pairs]
        if not bilinear:
            self.up = [M.ConvTranspose2d(low, top, 2, 2) for top, low in reversed(pairs)]
        self.join = [Twice(top + (low if bilinear else top), top) for top, low in reversed(pairs)]
        self.classify = M.Conv2d(widths[0], classes, 1)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, classes, h, w) of probabilities."""
        x = self.start(x)
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(self.pool(x))
        for place, join in enumerate(self.join):
            side = kept.pop()
            if self.bilinear:
                x = F.vision.interpolate(x, size=side.shape[2:], mode="bilinear", align_corners=False)
            else:
                x = self.up[place](x)
            x = join(F.concat([side, x], axis=1))
        return F.sigmoid(self.classify(x))


NETWORKS = {
    "by transposed convolution": small(lambda: UNet((8, 16, 24), 2, False), (1, 3, 32, 48)),
    "by bilinear interpolation": small(lambda: UNet((8, 16, 24), 2, True), (1, 3, 36, 52)),
    "U-Net 64-1024": full(lambda: UNet((64, 128, 256, 512, 1024), 2, False), (1, 3, 128, 128)),
    "U-Net 32-512, bilinear": full(lambda: UNet((32, 64, 128, 256, 512), 2, True), (1, 3, 128, 128)),
}
