"""onnx_int8: float .onnx -> int8 .onnx, by calibration samples

Quantises after training with the static quantiser of onnxruntime: pairs of QuantizeLinear and DequantizeLinear around the operators
that compute in int8, weights by channel, tensors by the ranges that the calibration samples reach. Inputs and results stay as
declared. Taken where an output asks for ``precision = "int8"`` and an ONNX file is on its road. Files below opset 13, the first that has scales by
channel, are raised to it.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _needs(options: Any) -> tuple[str, ...]:
    return ("calibration",)


RULE = Rule(
    consumes="onnx",
    produces="onnx",
    files=(".onnx",),
    toolchain="mgeconvert",
    options={
        "precision": Option("float", choices=("float", "int8"), help="int8 needs calibration samples."),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
    },
    needs=_needs,
)
