"""Networks of a sample that are written for several at once; the rules' own workers refuse what fixes its batch."""

from __future__ import annotations

import pytest

from .conftest import ENOUGH, FORMATS, Answers, Cell

FOLLOW = (
    "activation.hard_swish",
    "convolution.transposed_groups",
    "families.MobileNetV2",
    "families.ResNetInPlace",
    "families.ShuffleNetV2",
    "families.UNetTransposed",
    "families.YoloHead",
    "normalisation.group",
    "pooling.bilinear_to_size",
    "results.nested_results",
    "shape.run_time_shape",
)
FIX = {
    "shape.reshape_to_one_row": "[reshape] (Tensor.reshape): can not reshape from {3(480),8(60),6(10),10(1) Float32} to {1,480}",
    "families.TextReader": 'result "result0" is declared as [10, 1, 11]',
    "elementwise.broadcasts_two_inputs": 'input "input0" is declared as [2, 1, 6, 1]',
}
CELLS = [Cell(case, format, options={"batch": 3}) for case in FOLLOW for format in FORMATS]
CELLS.append(Cell("families.VisionTransformer", "tflite", options={"batch": 3}))
REFUSED = [Cell(case, format, said, options={"batch": 3}) for case, said in FIX.items() for format in FORMATS]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_network_follows(cell: Cell, answers: Answers) -> None:
    answer = answers[str(cell)]
    assert answer["outcome"] == "ok", answer["said"]
    assert answer["error"] < ENOUGH


@pytest.mark.parametrize("cell", REFUSED, ids=str)
def test_a_network_that_does_not_follow_is_refused(cell: Cell, answers: Answers) -> None:
    answer = answers[str(cell)]
    assert answer["outcome"] == "refused", answer
    assert cell.refused in answer["said"]
    assert "/" not in answer["said"]  # no place in MegEngine's own code
