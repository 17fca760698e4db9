"""A small detector: features at two scales, the coarser ones resized to the finer, and two heads."""

from __future__ import annotations

import megengine
import megengine.functional as F
import megengine.module as M


class Squares(M.Module):
    """Takes images [n, 1, 32, 32] from 0 to 1; gives heat [n, 1, 16, 16] from 0 to 1, and size [n, 2, 16, 16] in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = M.Sequential(*_convolution(1, 12, stride=2), *_convolution(12, 12))
        self.coarse = M.Sequential(*_convolution(12, 24, stride=2), *_convolution(24, 24))
        self.joined = M.Sequential(*_convolution(36, 24))
        self.heat = M.Conv2d(24, 1, 1)
        self.size = M.Conv2d(24, 2, 1)

    def forward(self, image: megengine.Tensor) -> dict[str, megengine.Tensor]:
        fine = self.fine(image)
        coarse = F.vision.interpolate(self.coarse(fine), size=(16, 16), mode="nearest")
        features = self.joined(F.concat([fine, coarse], 1))
        return {"heat": F.sigmoid(self.heat(features)), "size": F.relu(self.size(features))}


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> list[M.Module]:
    return [M.Conv2d(channels_in, channels_out, 3, stride, 1), M.BatchNorm2d(channels_out), M.ReLU()]


def build(weights: str | None = None) -> Squares:
    """The network, with the weights that ``train.py`` wrote to a file if they are given."""
    network = Squares()
    if weights:
        network.load_state_dict(megengine.load(weights))
    return network
