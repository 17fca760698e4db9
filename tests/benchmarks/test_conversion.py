"""The conversion matrix: a handful of families is run, and the committed document is what was run."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
BENCHMARK = REPOSITORY / "benchmarks/conversion"
DOCUMENT = REPOSITORY / "docs/conversion-matrix.md"
NUMBERS = REPOSITORY / "docs/conversion-matrix.json"
FAMILIES = ("residual", "shufflenet", "vit", "yolo")


@pytest.fixture(scope="module")
def document() -> ModuleType:
    spec = importlib.util.spec_from_file_location("conversion_document", BENCHMARK / "document.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def committed() -> Any:
    return json.loads(NUMBERS.read_text(encoding="utf-8"))


def written() -> dict[tuple[str, str], bool]:
    """Family and name of every network, and whether it is of full size; read from the text, as MegEngine is not here."""
    found = {}
    for path in (BENCHMARK / "networks").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NETWORKS":
                assert isinstance(node.value, ast.Dict)
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    assert key and isinstance(value, ast.Call)
                    found[path.stem, ast.literal_eval(key)] = ast.unparse(value.func) == "full"
    return found


def test_the_document_says_what_was_run(document: ModuleType, committed: Any) -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document.render(committed)


def test_every_network_was_run(committed: Any) -> None:
    run = {(network["family"], network["name"]): network["full"] for network in committed["networks"]}
    assert run == written()
    assert sum(run.values()) >= 10


def test_all_of_onnx_and_tflite_is_verified(document: ModuleType, committed: Any) -> None:
    counts, everything = document.counts(committed, "lowered"), len(committed["networks"])
    assert counts["onnx"] == counts["tflite"] == {"verified": everything}
    assert counts["caffe"]["verified"] + counts["caffe"]["refused"] == everything
    assert document.faults(committed) == []
    assert all(cell["said"] for _, _, cell in document._cells(committed, "lowered") if cell["outcome"] == "refused")


def test_100_mb_of_weights_convert_in_seconds_and_four_times_their_memory(committed: Any) -> None:
    """Every network of more than 90 MB of weights. The memory is the peak over what the idle tools take."""
    large = [network for network in committed["networks"] if network["weights"] > 90e6]
    names = {"ResNet-50", "ResNeXt-50 32x4d", "SimpleBaseline-R50", "DeepLabV3+-R50", "RetinaNet-R50", "U-Net 64-1024"}
    assert {network["name"] for network in large} >= names
    for network in large:
        for format, cells in network["cells"].items():
            if cells["lowered"]["outcome"] == "verified":
                assert cells["lowered"]["memory"] < 4 * network["weights"], (network["name"], format)
                assert cells["lowered"]["cpu"] < 15, (network["name"], format)


def test_bytes_do_not_depend_on_the_hash_seed(document: ModuleType, committed: Any) -> None:
    assert all(cell["same"] for _, _, cell in document._cells(committed, "lowered") if cell["outcome"] == "verified")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The small networks of a handful of families, converted and run now."""
    numbers = tmp_path_factory.mktemp("conversion") / "numbers.json"
    chosen = [word for family in FAMILIES for word in ("--family", family)]
    command = [sys.executable, str(BENCHMARK / "run"), "--small", "--lowered-only", "--json", str(numbers), *chosen]
    environment = dict(os.environ)
    if "MEGBUILD_TEST_CACHE" in environment:
        environment["MEGBUILD_CACHE"] = environment["MEGBUILD_TEST_CACHE"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads(numbers.read_text(encoding="utf-8"))


@pytest.mark.parametrize("format", ["onnx", "tflite", "caffe"])
def test_a_handful_of_families_converts(fresh: Any, committed: Any, format: str) -> None:
    def outcomes(matrix: Any) -> dict[tuple[str, str], str]:
        return {
            (network["family"], network["name"]): network["cells"][format]["lowered"]["outcome"]
            for network in matrix["networks"]
            if network["family"] in FAMILIES and not network["full"]
        }

    assert outcomes(fresh) == outcomes(committed)
    assert set(outcomes(fresh).values()) <= {"verified", "refused"}
