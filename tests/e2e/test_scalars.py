"""Bounds of a ReLU6 on a matrix, which rknn-toolkit2 runs while it compiles: it takes no vector of one element for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import _cache
from .workspace import Workspace

MODELS = """
    workspace = true

    [models.gate]
    source  = "gate.py:build"
    inputs  = [{ name = "x", shape = [1, 8] }]
    results = [{ name = "y", shape = [1, 5] }]
    [models.gate.outputs.rk3588]
"""
GATE = """
    import megengine.functional as F
    import megengine.module as M


    class Gate(M.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = M.Linear(8, 6), M.Linear(6, 5)

        def forward(self, x):
            return F.hsigmoid(self.second(F.clip(F.hswish(self.first(x)), -0.3, 2.0)))


    def build():
        return Gate()
"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Workspace]:
    space = Workspace(tmp_path / "workspace", _cache(tmp_path))
    space.root.mkdir()
    space.write("MODELS.toml", MODELS)
    space.write("gate.py", GATE)
    yield space
    space.end()


def test_a_hard_sigmoid_of_a_matrix_compiles_for_rockchip(gate: Workspace) -> None:
    outcome = gate.build()
    assert outcome.status == 0, outcome.text
    (row,) = outcome.rows.values()
    assert (row["status"], row["verdict"]) == ("built", "smoke"), row
    assert row["metrics"]["cosine"] > 0.9999
