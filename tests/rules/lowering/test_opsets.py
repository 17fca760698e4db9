"""ONNX of every version of the operator set that the lowering writes, on one network for each topic."""

from __future__ import annotations

import pytest

from .conftest import ENOUGH, Answers, Cell

NETWORKS = (
    "activation.softmax_of_channels",
    "activation.hard_swish",
    "families.ShuffleNetV2",
    "families.TextReader",
    "families.VisionTransformer",
    "families.YoloHead",
    "indexing.backwards",
    "pooling.bicubic",
    "pooling.mean_counting_padding",
    "reduction.argmax",
    "reduction.cumulative_sum",
    "reduction.product",
    "reduction.sum_kept",
    "reduction.top_three",
    "shape.pads_with_value",
    "shape.split_at_sections",
)
CELLS = [Cell(case, "onnx", options={"opset": opset}) for opset in range(11, 20) for case in NETWORKS]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_opset(cell: Cell, answers: Answers) -> None:
    answer = answers[str(cell)]
    assert answer["outcome"] == "ok", answer["said"]
    assert answer["error"] < ENOUGH
