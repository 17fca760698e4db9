"""Canaan's chips by both versions of nncase: the order of several inputs, what stays on the CPU, equal bytes."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

FILES = {
    "MODELS.toml": """
        workspace = true

        [models.net]
        source      = "net.py:build"
        inputs      = [{ name = "offset", shape = [1, 4], range = [-50, 50] }, { name = "image", shape = [1, 2, 8, 8] }]
        results     = [{ name = "scores", shape = [1, 4] }, { name = "map", shape = [1, 4, 8, 8] }]
        samples     = "data/*.npz"
        calibration = "data/*.npz"
        verify      = { cosine = 0.99, scale = 0.05 }
        [models.net.outputs.k210]
        [models.net.outputs.k230]
    """,
    "net.py": """
        import megengine
        import megengine.functional as F
        import megengine.module as M
        import numpy as np


        class Net(M.Module):
            def __init__(self):
                super().__init__()
                self.conv = M.Conv2d(2, 4, 3, padding=1)
                random = np.random.RandomState(0)
                for parameter in self.parameters():
                    parameter[...] = megengine.Tensor(random.uniform(-1, 1, parameter.shape).astype("float32"))

            def forward(self, offset, image):
                features = F.relu(self.conv(image))
                return F.mean(features, axis=(2, 3)) + offset, features


        def build():
            return Net()
    """,
}


def write_samples(space: Workspace, count: int) -> None:
    """Samples of two inputs with very different ranges: exchanged, they would quantise to nothing."""
    random = np.random.RandomState(1)
    (space.root / "data").mkdir()
    for number in range(count):
        offset, image = random.uniform(-50, 50, (1, 4)), random.uniform(-1, 1, (1, 2, 8, 8))
        np.savez(space.root / f"data/{number}.npz", offset=offset.astype("float32"), image=image.astype("float32"))


@pytest.fixture
def space(unbuilt: Make) -> Workspace:
    """The network with eight samples."""
    made = unbuilt(FILES)
    write_samples(made, 8)
    return made


def test_several_inputs_and_results_and_equal_bytes(space: Workspace) -> None:
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    for chip, runtime in (("k210", "nncase 1.9.0.20230322 K210 simulator"), ("k230", "nncase 2.11.0 K230 simulator")):
        row = outcome.rows[f"//:net@{chip}"]
        assert (row["status"], row["verdict"], row["samples"], row["runtime"]) == ("built", "pass", 8, runtime)
        content = (space.root / f"out/net/{chip}/net.kmodel").read_bytes()
        assert content.count(chip.encode().ljust(16, b"\0")) == 1  # its module for the NPU
        names = json.loads(space.read(f"out/net/{chip}/tensors.json"))
        assert sorted(names["inputs"]) == ["image", "offset"]
        assert names["results"] == ["scores", "map"]
    assert space.made_again_elsewhere("//:net@k210", "//:net@k230") == space.artifacts()


def test_what_has_nothing_for_the_npu(space: Workspace) -> None:
    """In integers it is refused; as floats it is delivered for the CPU."""
    space.edit("net.py", "F.relu(self.conv(image))", "F.concat([image, image], 1)")
    refused = space.build("-k")
    assert refused.status == 1
    assert any("nothing of this model runs on the KPU" in error for error in refused.errors), refused.text
    text = space.read("MODELS.toml")
    space.write(
        "MODELS.toml",
        text.replace(".k210]", '.k210]\nprecision = "fp32"').replace(".k230]", '.k230]\nprecision = "fp32"'),
    )
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    for chip in ("k210", "k230"):
        assert chip.encode().ljust(16, b"\0") not in (space.root / f"out/net/{chip}/net.kmodel").read_bytes()
