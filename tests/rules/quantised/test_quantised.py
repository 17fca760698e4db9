"""Networks trained for quantisation in every format, each run on its runtime on 64 samples.

TFLite is held against the network as trained, ONNX and Caffe against the network with its fake quantisation off.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rules.lowering.conftest import REPOSITORY, in_toolchain

NETWORKS = ("mobile", "other_layers", "plain_float_tail", "residual", "residual_float_head", "shuffle")
DRIVER = "../quantised/driver.py"
Answers = dict[str, dict[str, Any]]

STEPS = {"mobile": 1, "other_layers": 1, "plain_float_tail": 1, "residual": 1, "residual_float_head": 1, "shuffle": 2}
"""How many steps of the last grid a result may be off: TFLite's kernels round a product twice, which over a dozen
layers of a chaotic little network can grow to a second step."""
SPARE = 0.01
"""Results in steps are not quite whole."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return _asked(tmp_path_factory.mktemp("quantised"), "1")


def _asked(folder: Path, seed: str, *names: str) -> Answers:
    in_toolchain(DRIVER, [str(REPOSITORY), str(folder / "scratch"), str(folder / "answers.json"), *names], folder, seed)
    found: Answers = json.loads((folder / "answers.json").read_text())
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_tflite_is_the_network_as_trained(name: str, answers: Answers) -> None:
    answer = answers[name]["tflite"]
    assert "said" not in answer, answer["said"]
    assert answer["steps"] <= STEPS[name] + SPARE
    assert answer["agreement"] >= 0.98
    assert answer["kinds"]["int8"] > answer["kinds"]["float32"]


@pytest.mark.parametrize("name", ["mobile", "residual", "shuffle"])
def test_tflite_may_stay_in_integers(name: str, answers: Answers) -> None:
    answer = answers[name]["tflite-int8"]
    assert "said" not in answer, answer["said"]
    assert answer["kinds"]["float32"] == 2, "the input and the result alone are float"
    assert answer["agreement"] >= 0.95


@pytest.mark.parametrize("format", ["onnx", "caffe"])
@pytest.mark.parametrize("name", NETWORKS)
def test_float_formats_are_the_network_without_fake_quantisation(name: str, format: str, answers: Answers) -> None:
    answer = answers[name][format]
    assert "said" not in answer, answer["said"]
    assert answer["error"] < 1e-5
    assert "quant_params.json" in answer["files"]


def test_grids_are_noted_by_the_names_in_the_file(answers: Answers) -> None:
    for format in ("onnx", "caffe"):
        notes = answers["residual"][format]["notes"]
        assert set(notes["activations"]) <= set(answers["residual"][format]["names"])
        assert set(notes["weights"]) <= set(answers["residual"][format]["names"])
        assert len(notes["weights"]) == 9, "stem, three blocks of two, one way past, head"
        assert notes["activations"]["image"]["dtype"] == "qint8"
        assert all(grid["scale"] > 0 and grid["qmax"] == 127 for grid in notes["activations"].values())
        assert all(grid["dtype"] == "qint8_narrow" for grid in notes["weights"].values())


def test_bytes_are_the_same_in_another_process(answers: Answers, tmp_path: Path) -> None:
    again = _asked(tmp_path, "77", "residual", "shuffle")
    for name in again:
        for format, answer in again[name].items():
            assert answer["digest"] == answers[name][format]["digest"], (name, format)
