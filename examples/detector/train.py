"""Trains the detector on drawn images, in some seconds of one core."""

from __future__ import annotations

import megengine
import megengine.functional as F
import megengine.optimizer as optim
import numpy as np
from images import CELLS, draw
from megengine.autodiff import GradManager
from network import Squares

STEPS, BATCH, SEED = 120, 16, 1


def train(path: str) -> None:
    """Writes the trained weights to ``path``."""
    random = np.random.RandomState(SEED)
    network = Squares()
    network.train()
    optimizer = optim.Adam(network.parameters(), lr=0.01)
    manager = GradManager().attach(network.parameters())
    for step in range(STEPS):
        if step == STEPS * 2 // 3:
            for group in optimizer.param_groups:
                group["lr"] = 0.001
        images, truth = draw(random, BATCH)
        heat, size, weight = (megengine.Tensor(array) for array in _targets(truth))
        with manager:
            given = network(megengine.Tensor(images))
            off = F.abs(given["size"] - size) * weight
            loss = F.sum(F.square(given["heat"] - heat) * (1 + 20 * heat)) / BATCH + 0.05 * F.sum(off) / BATCH
            manager.backward(loss)
        optimizer.step().clear_grad()
    print(f"loss {loss.item():.4f}")
    megengine.save(network.state_dict(), path)


def _targets(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bump of heat around each middle, the size everywhere, and a weight that counts it at the middle only."""
    rows, columns = np.mgrid[:CELLS, :CELLS]
    distance = (rows - truth[:, :1, None]) ** 2 + (columns - truth[:, 1:2, None]) ** 2
    heat = np.exp(-distance / 2)[:, None].astype("float32")
    size = np.broadcast_to(truth[:, 2:, None, None], (len(truth), 2, CELLS, CELLS)).astype("float32")
    return heat, size, (distance <= 1)[:, None].astype("float32")
