"""The handwritten digits that come with scikit-learn, split once and for all into a training and a held-out part."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

HELD_OUT = 0.2


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(images, labels)`` for training, then held out. Images are uint8 [n, 1, 8, 8] from 0 to 16, labels int64 [n]."""
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, np.newaxis]
    labels = bunch.target.astype(np.int64)
    order = np.random.RandomState(0).permutation(len(labels))
    held_out = round(len(order) * HELD_OUT)
    training, testing = order[held_out:], order[:held_out]
    return (images[training], labels[training]), (images[testing], labels[testing])
