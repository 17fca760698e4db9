"""A small convolutional network for 8 x 8 digits."""

from __future__ import annotations

import megengine
import megengine.functional as F
import megengine.module as M


class Digits(M.Module):
    """Takes images [n, 1, 8, 8] from 0 to 16, gives one score for each digit [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = M.Sequential(
            *_stage(1, 16, stride=1),
            *_stage(16, 32, stride=2),
            *_stage(32, 64, stride=2),
            M.AvgPool2d(2),
        )
        self.scores = M.Linear(64, 10)

    def forward(self, image: megengine.Tensor) -> megengine.Tensor:
        return self.scores(F.flatten(self.features(image), 1))


def _stage(channels_in: int, channels_out: int, stride: int) -> list[M.Module]:
    return [
        M.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
        M.BatchNorm2d(channels_out),
        M.ReLU(),
    ]


def build(weights: str | None = None) -> Digits:
    """The network, with the weights that ``train.py`` wrote to a file if they are given."""
    network = Digits()
    if weights:
        network.load_state_dict(megengine.load(weights))
    return network
