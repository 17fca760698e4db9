"""Trains the network: with fake quantisation from the start, which is enough for so small a network, or in float."""

from __future__ import annotations

from collections.abc import Callable

import megengine
import megengine.autodiff
import megengine.functional as F
import megengine.optimizer
import megengine.random
import numpy as np
from megengine.quantization import disable_observer
from network import Digits, build, build_float

from examples.quickstart.split import digits

EPOCHS = 5
BATCH = 64
WANTED = 0.97


def train(weights: str) -> None:
    """Writes the trained weights, and the ranges that were observed, to the file ``weights``."""
    _train(build, weights)


def train_float(weights: str) -> None:
    """Writes the weights of the network without fake quantisation to the file ``weights``."""
    _train(build_float, weights)


def _train(make: Callable[[], Digits], weights: str) -> None:
    megengine.random.seed(1)
    (images, labels), held_out = digits()
    network = make()
    steps = EPOCHS * (len(labels) // BATCH)
    optimizer = megengine.optimizer.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    gradients = megengine.autodiff.GradManager().attach(network.parameters())
    shuffle = np.random.RandomState(1)
    step = 0
    network.train()
    for _ in range(EPOCHS):
        order = shuffle.permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * (1 + np.cos(np.pi * step / steps))
            with gradients:
                scores = network(megengine.Tensor(images[batch].astype("float32")))
                gradients.backward(F.nn.cross_entropy(scores, megengine.Tensor(labels[batch].astype("int32"))))
            optimizer.step().clear_grad()
            step += 1
    disable_observer(network)
    accuracy = evaluate(network, *held_out)
    print(f"accuracy on {len(held_out[1])} held-out digits: {accuracy:.2%}")
    assert accuracy >= WANTED, f"only {accuracy:.2%} of the held-out digits are right"
    megengine.save(network.state_dict(), weights)


def evaluate(network: Digits, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of the images whose best score is their label's."""
    network.eval()
    scores = network(megengine.Tensor(images.astype("float32"))).numpy()
    return float(np.mean(scores.argmax(axis=1) == labels))
