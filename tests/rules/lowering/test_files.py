"""What the produced files say about themselves, and that their bytes depend on the network alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import FORMATS, Answers, Cell, ask

RESNET = Cell("families.ResNetInPlace", "onnx")
SAME = [
    Cell(case, format)
    for case in ("families.YoloHead", "families.ShuffleNetV2", "recurrent.lstm_both_ways", "results.named_results")
    for format in FORMATS
]
TROUBLED = Cell("results.several_unsupported", "onnx")


@pytest.mark.parametrize("cell", [RESNET], ids=str)
def test_onnx_says_where_operations_are_from(cell: Cell, answers: Answers) -> None:
    nodes = answers[str(cell)]["nodes"]
    assert {"stem.conv", "stem.relu", "a.conv", "classify"} <= set(nodes)
    assert len(set(nodes)) == len(nodes)


@pytest.mark.parametrize("cell", [RESNET], ids=str)
def test_onnx_has_no_weights_among_its_inputs(cell: Cell, answers: Answers) -> None:
    assert answers[str(cell)]["inputs"] == ["input0"]


@pytest.mark.parametrize("cell", [RESNET, *(cell for cell in SAME if cell.format == "onnx")], ids=str)
def test_onnx_knows_the_shape_of_every_value(cell: Cell, answers: Answers) -> None:
    assert answers[str(cell)]["without_shape"] == []


@pytest.mark.parametrize("cell", [RESNET], ids=str)
def test_onnx_says_nothing_that_changes(cell: Cell, answers: Answers) -> None:
    assert answers[str(cell)]["producer"] == ["megbuild", "", "", ""]
    assert answers[str(cell)]["opset"] == 12


@pytest.mark.parametrize("cells", [pytest.param(tuple(SAME), id="another hash seed")])
def test_bytes_are_the_same(cells: tuple[Cell, ...], answers: Answers, tmp_path: Path) -> None:
    again = ask(tmp_path, list(cells), seed="12345")
    for cell in cells:
        assert again[str(cell)].get("sha256") == answers[str(cell)].get("sha256"), cell


@pytest.mark.parametrize("cell", [TROUBLED], ids=str)
def test_everything_unsupported_is_told_at_once(cell: Cell, answers: Answers) -> None:
    said = answers[str(cell)]["said"]
    assert "ONNX cannot express 2 things in this model" in said
    assert "[svd] (functional.svd): no lowering is written for it; use a decomposition of the weights" in said
    assert "[matinv] (functional.matinv)" in said
