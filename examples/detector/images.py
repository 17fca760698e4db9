"""Images of bright squares, drawn by chance: there is no data to fetch."""

from __future__ import annotations

import numpy as np

SIDE, CELLS = 32, 16


def draw(random: np.random.RandomState, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [count, 1, 32, 32] from 0 to 1, and what is in each: row and column of its middle's cell, height, width."""
    images = random.uniform(0, 0.4, (count, 1, SIDE, SIDE))
    truth = np.zeros((count, 4), "float32")
    for number in range(count):
        height, width = random.randint(4, 13, 2)
        top, left = random.randint(0, SIDE - height + 1), random.randint(0, SIDE - width + 1)
        images[number, 0, top : top + height, left : left + width] += random.uniform(0.4, 0.6)
        truth[number] = (top + height / 2) // 2, (left + width / 2) // 2, height, width
    return images.astype("float32"), truth
