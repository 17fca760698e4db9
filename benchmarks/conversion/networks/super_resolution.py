"""Super-resolution: sub-pixel convolution (ESPCN) and EDSR."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import megengine.module as M

from .registry import full, small


class Espcn(M.Module):
    """Tanh between convolutions, and a bicubic picture added."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.a, self.b = M.Conv2d(3, 16, 5, padding=2), M.Conv2d(16, 8, 3, padding=1)
        self.c, self.act = M.Conv2d(8, 3 * scale * scale, 3, padding=1), M.PReLU(8)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, 3, scale * h, scale * w)."""
        y = F.nn.pixel_shuffle(self.c(self.act(self.b(F.tanh(self.a(x))))), self.scale)
        return F.clip(y + F.vision.interpolate(x, scale_factor=self.scale, mode="bicubic"), -1.0, 1.0)


class Residual(M.Module):
    """Two convolutions without normalisation, scaled before they are added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = M.Sequential(M.Conv2d(width, width, 3, padding=1), M.ReLU(), M.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Any) -> Any:
        """Keeps the shape."""
        return x + 0.1 * self.body(x)


class Edsr(M.Module):
    """Residual blocks between two long ways, then a pixel shuffle."""

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__()
        self.head = M.Conv2d(3, width, 3, padding=1)
        self.body = M.Sequential(*(Residual(width) for _ in range(depth)), M.Conv2d(width, width, 3, padding=1))
        self.wide, self.shuffle = M.Conv2d(width, width * scale * scale, 3, padding=1), M.PixelShuffle(scale)
        self.tail = M.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Any) -> Any:
        """(n, 3, h, w) -> (n, 3, scale * h, scale * w)."""
        x = self.head((x - 0.4) / 0.5)
        x = x + self.body(x)
        return self.tail(self.shuffle(self.wide(x))) * 0.5 + 0.4


NETWORKS = {
    "ESPCN": small(lambda: Espcn(2), (1, 3, 16, 20)),
    "EDSR, three times": small(lambda: Edsr(8, 2, 3), (1, 3, 12, 16)),
    "EDSR baseline, two times": full(lambda: Edsr(64, 16, 2), (1, 3, 96, 96)),
}
