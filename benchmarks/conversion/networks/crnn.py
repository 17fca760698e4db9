"""Text readers: convolutions, then a bidirectional LSTM over the width (CRNN)."""

from __future__ import annotations

from typing import Any, Sequence

import megengine.functional as F
import megengine.module as M

from .parts import ConvBn
from .registry import full, small


class Crnn(M.Module):
    """Pools the height away, reads the width as time."""

    def __init__(self, widths: Sequence[int], hidden: int, layers: int, letters: int) -> None:
        super().__init__()
        parts: Any = [ConvBn(1, widths[0]), M.MaxPool2d(2, 2)]
        parts += [ConvBn(widths[0], widths[1]), M.MaxPool2d(2, 2)]
        for inside, outside in zip(widths[1:], widths[2:]):
            parts += [ConvBn(inside, outside), M.MaxPool2d((2, 1), (2, 1))]
        self.features, self.last = M.Sequential(*parts), M.Conv2d(widths[-1], widths[-1], (2, 1))
        self.read = M.LSTM(widths[-1], hidden, num_layers=layers, bidirectional=True)
        self.classify = M.Linear(2 * hidden, letters)

    def forward(self, x: Any) -> Any:
        """(n, 1, height, w) -> (w / 4, n, letters) of log probabilities."""
        x = F.transpose(F.squeeze(F.relu(self.last(self.features(x))), 2), (2, 0, 1))
        y, _ = self.read(x)
        return F.logsoftmax(self.classify(y), axis=2)


NETWORKS = {
    "one layer": small(lambda: Crnn((8, 16, 16), 12, 1, 11), (1, 1, 16, 40)),
    "two layers, batch of 2": small(lambda: Crnn((8, 8, 16), 8, 2, 11), (2, 1, 16, 32)),
    "CRNN 32x100": full(lambda: Crnn((64, 128, 256, 512), 256, 2, 37), (1, 1, 32, 100)),
}
