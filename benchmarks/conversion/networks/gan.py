"""Generators of pictures: DCGAN."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .registry import full, small


class Generator(M.Module):
    """Transposed convolutions from 4x4 up, twice as large each."""

    def __init__(self, noise: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first, self.start = widths[0], M.Linear(noise, widths[0] * 16, bias=False)
        self.norm = M.BatchNorm2d(widths[0])
        layers: Any = []
        for inside, outside in zip(widths, widths[1:]):
            layers += [M.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), M.BatchNorm2d(outside), M.ReLU()]
        self.grow = M.Sequential(*layers, M.ConvTranspose2d(widths[-1], 3, 4, 2, 1))

    def forward(self, z: Any) -> Any:
        """(n, noise) -> (n, 3, side, side) from -1 to 1."""
        x = F.relu(self.norm(self.start(z).reshape(-1, self.first, 4, 4)))
        return F.tanh(self.grow(x))


class Critic(M.Module):
    """The other half: strided convolutions and leaky ReLU."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: Any = [M.Conv2d(3, widths[0], 4, 2, 1), M.LeakyReLU(0.2)]
        for inside, outside in zip(widths, widths[1:]):
            layers += [M.Conv2d(inside, outside, 4, 2, 1, bias=False), M.BatchNorm2d(outside), M.LeakyReLU(0.2)]
        self.body, self.judge = M.Sequential(*layers), M.Conv2d(widths[-1], 1, 4)

    def forward(self, x: Any) -> Any:
        """(n, 3, side, side) -> (n,)."""
        return F.sigmoid(self.judge(self.body(x))).reshape(-1)


NETWORKS = {
    "generator": small(lambda: Generator(16, (16, 8)), (2, 16)),
    "discriminator": small(lambda: Critic((8, 16)), (1, 3, 16, 16)),
    "DCGAN generator": full(lambda: Generator(100, (1024, 512, 256, 128)), (1, 100)),
}
