"""Sophgo's chips by tpu-mlir: the order of several inputs and results, names, equal bytes at another time."""

from __future__ import annotations

import json
from collections.abc import Callable

from . import test_canaan
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

MODELS = (
    test_canaan.FILES["MODELS.toml"]
    .replace(".k210]", '.bm1684x]\n        precision = "int8"')
    .replace(".k230]", '.cv181x]\n        precision = "int8"')
)


def test_several_inputs_and_results_and_equal_bytes(unbuilt: Make) -> None:
    """Each file is made twice, in two folders and at two times. Two samples: the simulator of BM1684X is slow."""
    space = unbuilt({**test_canaan.FILES, "MODELS.toml": MODELS})
    test_canaan.write_samples(space, 2)
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
    assert space.made_again_elsewhere("//:net@bm1684x", "//:net@cv181x") == space.artifacts()
