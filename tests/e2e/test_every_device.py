"""Every device of the catalogue that megbuild's own tools can build for is built for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from megbuild.declare.load import load

from . import test_vela
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

NET = {
    "MODELS.toml": """
        workspace = true

        [models.net]
        source  = "net.py:build"
        inputs  = [{ name = "image", shape = [1, 3, 16, 16] }]
        results = [{ name = "scores", shape = [1, 4] }]
    """,
    "net.py": """
        import megengine
        import megengine.functional as F
        import megengine.module as M
        import numpy as np


        class Net(M.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = M.ConvBnRelu2d(3, 64, 3, 2, 1), M.ConvBnRelu2d(64, 64, 3, 2, 1)
                self.scores = M.Linear(1024, 4)

            def forward(self, image):
                return self.scores(F.flatten(self.second(self.first(image)), 1))


        def build():
            random = np.random.RandomState(0)
            network = Net()
            for parameter in network.parameters():
                parameter[...] = megengine.Tensor(random.uniform(-0.1, 0.1, parameter.shape).astype("float32"))
            network.eval()
            return network
    """,
}
LAYOUTS = {"default", "nchw88", "nchw44", "nchw44_dot", "nchw4", "nchw32", "nchw64", "chwn4", "hwcd4"}
RUN_HERE = ("default", "nchw4", "nchw32", "chwn4")
"""Layouts that any x86-64 machine runs; nchw88 runs on Intel's only."""


def with_outputs(files: dict[str, str], names: list[str]) -> dict[str, str]:
    """The files with an output for each of these devices, named after it."""
    kept = [line for line in files["MODELS.toml"].splitlines() if "outputs." not in line]
    tables = [f"        [models.net.outputs.{name}]" for name in names]
    return {**files, "MODELS.toml": "\n".join([*kept, *tables]) + "\n"}


def test_every_layout_of_lite(unbuilt: Make) -> None:
    """Each device that takes an .mge: run and compared where this machine has kernels for its layout, else said to be not run."""
    known = load(Path(__file__).parents[2]).hardware.values()
    devices = {one.name: str(one.options.get("layout", "default")) for one in known if one.format == "mge"}
    assert set(devices.values()) == LAYOUTS
    outcome = unbuilt(with_outputs(NET, list(devices))).build()
    assert outcome.status == 0, outcome.text
    for name, layout in devices.items():
        row = outcome.rows[f"//:net@{name}"]
        if layout in RUN_HERE:
            assert (row["verdict"], row["samples"]) == ("smoke", 1), (name, row)  # a synthetic sample
            assert row["metrics"]["cosine"] > 0.99999
        elif layout != "nchw88":
            assert row["verdict"] == "not run" and row["size"] > 0, (name, row)
    made = {layout: outcome.rows[f"//:net@{name}"]["sha256"] for name, layout in devices.items()}
    assert len({made[layout] for layout in LAYOUTS - {"nchw4", "chwn4", "nchw32", "nchw64"}}) == 5, (
        "the layout is in the file"
    )


def test_every_ethos_u(unbuilt: Make) -> None:
    """Vela compiles the same network for each configuration; no two give the same commands."""
    names = [one.name for one in load(Path(__file__).parents[2]).hardware.values() if one.format == "vela"]
    assert len(names) == 11
    outcome = unbuilt(with_outputs(test_vela.FILES, names)).build()
    assert outcome.status == 0, outcome.text
    assert {row["verdict"] for row in outcome.rows.values()} == {"not run"}
    assert len({row["sha256"] for row in outcome.rows.values()}) == len(names)
