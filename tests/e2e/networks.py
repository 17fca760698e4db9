"""Training code that several tests declare."""

TWO_INPUTS = """
import megengine
import megengine.functional as F
import megengine.module as M
import numpy as np


class Net(M.Module):
    def __init__(self):
        super().__init__()
        self.conv = M.Conv2d(3, 8, 3, 2, 1)
        self.linear = M.Linear(128, 4)

    def forward(self, image, bias):
        scores = self.linear(F.flatten(F.relu(self.conv(image)), 1)) + bias
        return scores, F.argmax(scores, axis=1)


def build():
    random = np.random.RandomState(0)
    network = Net()
    for parameter in network.parameters():
        parameter[...] = megengine.Tensor(random.uniform(-0.3, 0.3, parameter.shape).astype("float32"))
    return network
"""
"""``build()``: an image and a bias -> scores, and the class that wins. Its weights are always the same."""
