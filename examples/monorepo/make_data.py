"""Makes the committed data of this workspace: samples, the table of voice.csv, and the delivered keyword.tm.

Run it from this folder in the environment of the MegEngine toolchain. It stands for what comes from real devices.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import megengine
import megengine.module as M
import megengine.traced_module
import numpy as np


def sounds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Energies of four bands [count, 4]; who speaks (1) is louder in the two middle bands."""
    source = np.random.RandomState(seed)
    speaking = source.randint(0, 2, count)
    bands = source.uniform(-1, 0.2, (count, 4))
    bands[:, 1:3] += 0.8 * speaking[:, None]
    return bands.round(3).astype("float32"), speaking


def main() -> None:
    images = np.random.RandomState(3).uniform(0, 1, (3, 1, 3, 16, 16)).round(2).astype("float32")
    for number, image in enumerate(images):
        Path("vision/samples").mkdir(exist_ok=True)
        np.save(f"vision/samples/{number}.npy", image)
    bands, speaking = sounds(80, seed=4)
    rows = np.column_stack([bands, speaking])
    np.savetxt("speech/voice.csv", rows, "%.3f,%.3f,%.3f,%.3f,%d", header="low,middle,upper,high,speaking", comments="")
    bands, speaking = sounds(24, seed=5)
    np.save("speech/samples/bands.npy", bands)
    np.save("speech/labels.npy", speaking)

    network = M.Sequential(M.Linear(20, 12), M.ReLU(), M.Linear(12, 6))
    source = np.random.RandomState(6)
    for _, parameter in sorted(network.named_parameters()):
        parameter[...] = source.uniform(-0.5, 0.5, parameter.shape).astype("float32")
    network.eval()
    megengine.save(
        megengine.traced_module.trace_module(network, megengine.Tensor(np.zeros((1, 20), "float32"))),
        "speech/keyword.tm",
    )
    print("keyword.tm has sha256", hashlib.sha256(Path("speech/keyword.tm").read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
