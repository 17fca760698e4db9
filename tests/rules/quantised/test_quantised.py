"""Networks trained for quantisation in every format, each run on its runtime.

TFLite is held against the network as trained, ONNX and Caffe against the network with its fake quantisation off.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rules.lowering.conftest import REPOSITORY, in_toolchain

NETWORKS = ("mobile", "other_layers", "plain_float_tail", "residual", "residual_float_head", "shuffle", "unsigned")
DRIVER = "../quantised/driver.py"
Answers = dict[str, dict[str, Any]]

TRAININGS = ("tflite", "tflite-17", "tflite-40")
"""The answers for TFLite after each training: of 60, 20 and 20 steps, each from numbers of its own."""
INT32 = 2
"""TensorType of the schema."""
SPARE = 0.01
"""Results in steps are not quite whole."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return _asked(tmp_path_factory.mktemp("quantised"), "1")


def _asked(folder: Path, seed: str, *names: str) -> Answers:
    in_toolchain(DRIVER, [str(REPOSITORY), str(folder / "scratch"), str(folder / "answers.json"), *names], folder, seed)
    found: Answers = json.loads((folder / "answers.json").read_text())
    return found


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("name", NETWORKS)
def test_tflite_is_the_network_as_trained(name: str, training: str, answers: Answers) -> None:
    answer = answers[name][training]
    assert "said" not in answer, answer["said"]
    assert answer["steps"] <= 1 + SPARE
    assert answer["exact"] >= 0.99, "what float32 leaves open is a sum in a million"
    assert answer["agreement"] >= 0.99
    assert answer["kinds"]["int8"] + answer["kinds"]["int16"] > answer["kinds"]["float32"]


@pytest.mark.parametrize("name", ["mobile", "residual", "shuffle"])
def test_tflite_may_stay_in_integers(name: str, answers: Answers) -> None:
    answer = answers[name]["tflite-int8"]
    assert "said" not in answer, answer["said"]
    assert answer["kinds"]["float32"] == 2, "the input and the result alone are float"
    assert answer["agreement"] >= 0.95


def test_the_type_of_a_bias_is_said(answers: Answers) -> None:
    """LiteRT 2.3 takes a bias of 32 bits for one of 64 where it is not."""
    assert answers["residual"]["tflite"]["biases"] == [INT32] * 8 + [0], "the head reads averages, which are float"
    assert set(answers["residual"]["tflite-plain"]["biases"]) == {0}


@pytest.mark.parametrize("name", NETWORKS)
def test_tflite_may_stay_in_8_bits(name: str, answers: Answers) -> None:
    answer = answers[name]["tflite-plain"]
    assert "said" not in answer, answer["said"]
    assert "int16" not in answer["kinds"]
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
    again = _asked(tmp_path, "77", "shuffle")
    for name in again:
        for format, answer in again[name].items():
            assert answer["digest"] == answers[name][format]["digest"], (name, format)


def test_no_sum_falls_on_the_wrong_side_of_a_half(tmp_path: Path) -> None:
    in_toolchain("../quantised/rounding.py", [str(REPOSITORY), str(tmp_path / "rounding.json")], tmp_path)
    for layer, wrong in json.loads((tmp_path / "rounding.json").read_text()).items():
        assert wrong["exact"] == 0, layer
        assert wrong["plain"] > 0, f"{layer} tells nothing"
