"""Trace a network, dump it and run the .mge with Lite; prints one digest of the files and of the result.

Weights and input are multiples of 1/8, so that every sum is exact and no order of additions shows in the answer.
"""

import hashlib
from pathlib import Path

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine.jit import trace
from megengine.traced_module import trace_module
from megenginelite import LiteNetwork


def eighths(*shape):
    """Values from -1 to 1 in steps of 1/8, in a fixed order without symmetry."""
    count = int(np.prod(shape))
    return ((np.arange(count) * 7 % 17 - 8) / 8).astype("float32").reshape(shape)


class Probe(M.Module):
    """Convolution, ReLU, pooling, linear."""

    def __init__(self):
        """Give every parameter its fixed values."""
        super().__init__()
        self.conv = M.Conv2d(2, 4, 3, padding=1)
        self.pool = M.MaxPool2d(2)
        self.linear = M.Linear(4 * 4 * 4, 5)
        for parameter in self.parameters():
            parameter[...] = mge.tensor(eighths(*parameter.shape))

    def forward(self, data):
        """(1, 2, 8, 8) -> (1, 5)."""
        return self.linear(F.flatten(self.pool(F.relu(self.conv(data))), 1))


def traced():
    """The network as a traced module."""
    network = Probe()
    network.eval()
    return trace_module(network, mge.tensor(eighths(1, 2, 8, 8)))


def main():
    """Make everything in the current folder, compare, and print the digest."""
    mge.save(traced(), "probe.tm")
    network = mge.load("probe.tm")
    data = mge.tensor(eighths(1, 2, 8, 8))
    step = trace(network.forward, symbolic=True, capture_as_const=True)
    expected = step(data).numpy()
    step.dump("probe.mge", arg_names=["data"], output_names=["result"], optimize_for_inference=True)

    lite = LiteNetwork()
    lite.load("probe.mge")
    lite.get_io_tensor("data").set_data_by_copy(eighths(1, 2, 8, 8))
    lite.forward()
    lite.wait()
    result = lite.get_io_tensor("result").to_numpy()
    assert np.array_equal(result, expected), "Lite and MegEngine differ"

    digest = hashlib.sha256()
    for part in (Path("probe.tm").read_bytes(), Path("probe.mge").read_bytes(), result.tobytes()):
        digest.update(hashlib.sha256(part).digest())
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
