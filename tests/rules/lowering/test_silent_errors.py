"""What stock mgeconvert converts wrongly without a word, each by its name: a build refuses it, and the lowering is right.

Stock mgeconvert writes a file for every one of these networks. The file gives other numbers, has other results than the
network, or cannot be run. The first are refused by the verdict, with the thresholds that hold where nothing is declared
and one random sample; the others by the check of inputs and results, or by the runtime.
"""

from __future__ import annotations

import pytest

from megbuild.verify.judge import FAIL, SMOKE, judge

from .conftest import ENOUGH, Answers, Cell

ERRORS = {
    "activation after an operation that cannot fuse it": [("activation.tanh_after_convolution", "tflite")],
    "average pooling without its padding": [("pooling.mean_padded", "tflite"), ("pooling.mean_padded_same", "tflite")],
    "average that counts padding": [("pooling.mean_counting_padding", "onnx")],
    "average that does not count padding": [("pooling.mean_padded_same", "caffe")],
    "backward slice": [("indexing.backwards", "onnx"), ("indexing.backwards", "caffe")],
    "batch normalisation with another epsilon": [
        ("normalisation.batch_folded", "onnx"),
        ("normalisation.batch_alone", "onnx"),
        ("normalisation.batch_in_the_middle", "onnx"),
        ("normalisation.batch_in_the_middle", "caffe"),
    ],
    "convolution read raw and through ReLU": [("activation.relu_shared", "tflite")],
    "convolution with other padding than zeros": [
        ("convolution.other_padding", "onnx"),
        ("convolution.other_padding", "tflite"),
        ("convolution.other_padding", "caffe"),
    ],
    "grouped convolution": [("convolution.two_groups", "tflite"), ("convolution.four_groups", "tflite")],
    "kept dimensions": [("reduction.sum_kept", "onnx"), ("reduction.sum_kept", "tflite")],
    "maximum over one axis": [("reduction.maximum_of_channels", "tflite")],
    "maximum pooling that rounds up": [("pooling.max_odd", "caffe"), ("pooling.max_padded", "caffe")],
    "maximum pooling without its padding": [("pooling.max_padded", "tflite"), ("pooling.max_oblong", "tflite")],
    "mean over one axis": [("reduction.mean_of_channels", "tflite"), ("reduction.mean_of_height", "tflite")],
    "negative index": [("indexing.negative_integer", "onnx"), ("indexing.negative_integer", "tflite")],
    "padding of another kind": [("shape.pads_with_value", "tflite"), ("shape.pads_by_reflection", "tflite")],
    "ReLU after a reshape": [("activation.relu_after_reshape", "tflite")],
    "repeat without an axis": [("shape.repeats_flat", "onnx")],
    "reshape between convolutions": [("shape.reshape_between_convolutions", "tflite")],
    "result that another operation reads": [("results.result_that_is_read", "tflite")],
    "slice with a step": [("indexing.step", "onnx"), ("indexing.step", "tflite")],
    "slice without an end": [("indexing.open_slice", "onnx"), ("indexing.open_slice", "caffe")],
    "softmax over the width": [("activation.softmax_of_width", "tflite"), ("activation.softmax_of_width", "caffe")],
    "transposed convolution with output padding": [
        ("convolution.transposed_output_padding", "onnx"),
        ("convolution.transposed_output_padding", "tflite"),
        ("convolution.transposed_output_padding", "caffe"),
    ],
}
PAIRS = [
    pytest.param((Cell(case, format, lowering="mgeconvert"), Cell(case, format)), id=f"{error} - {case} - {format}")
    for error, where in ERRORS.items()
    for case, format in where
]


@pytest.mark.parametrize("pair", PAIRS)
def test_stock_is_wrong_and_the_lowering_right(pair: tuple[Cell, Cell], answers: Answers) -> None:
    stock, lowered = (answers[str(cell)] for cell in pair)
    assert stock["outcome"] == "unusable" or stock["error"] > 1e-3, stock
    if stock["outcome"] == "ok":
        verdict = judge(stock["measures"], {}, size=0)
        assert verdict.state == FAIL, (stock["error"], verdict.metrics)
    assert lowered["outcome"] == "ok", lowered["said"]
    assert lowered["error"] < ENOUGH
    assert judge(lowered["measures"], {}, size=0).state == SMOKE


UNALIGNED = (Cell("convolution.plain", "tflite", lowering="mgeconvert"), Cell("convolution.plain", "tflite"))


@pytest.mark.parametrize("pair", [pytest.param(UNALIGNED, id="unaligned weights")])
def test_weights_stand_where_the_schema_wants_them(pair: tuple[Cell, Cell], answers: Answers) -> None:
    stock, lowered = (answers[str(cell)] for cell in pair)
    assert not stock.get("aligned", False)
    assert lowered["aligned"]
