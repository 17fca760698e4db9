"""Sophgo's chips by tpu-mlir: the order of several inputs and results, names, equal bytes at another time."""

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
        [models.net.outputs.bm1684x]
        precision = "int8"
        [models.net.outputs.cv181x]
        precision = "int8"
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


@pytest.fixture
def space(unbuilt: Make) -> Workspace:
    """Two samples of two inputs with very different ranges: exchanged, they would quantise to nothing."""
    made = unbuilt(FILES)
    random = np.random.RandomState(1)
    (made.root / "data").mkdir()
    for number in range(2):
        offset, image = random.uniform(-50, 50, (1, 4)), random.uniform(-1, 1, (1, 2, 8, 8))
        np.savez(made.root / f"data/{number}.npz", offset=offset.astype("float32"), image=image.astype("float32"))
    return made


def test_several_inputs_and_results_and_equal_bytes(space: Workspace) -> None:
    """Each file is made twice, in two folders and at two times."""
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    for chip, file in (("bm1684x", "net.bmodel"), ("cv181x", "net.cvimodel")):
        row = outcome.rows[f"//:net@{chip}"]
        assert (row["status"], row["verdict"], row["samples"]) == ("built", "pass", 2)
        assert row["runtime"] == "tpu-mlir 1.30.2 simulator"
        content = (space.root / f"out/net/{chip}/{file}").read_bytes()
        assert b"2000" in content  # where the compiler writes the time
        names = json.loads(space.read(f"out/net/{chip}/tensors.json"))
        assert sorted(names["inputs"]) == ["image", "offset"]
        assert names["results"] == ["scores", "map"]
    first = space.artifacts()
    moved = space.root.with_name("another folder of the workspace")
    space.root.rename(moved)
    again = Workspace(moved, space.cache)
    again.forget_store()
    again.doit("forget", "//:net@bm1684x", "//:net@cv181x")
    assert again.build().status == 0
    assert again.artifacts() == first
