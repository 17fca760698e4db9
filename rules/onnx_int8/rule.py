"""onnx_int8: float .onnx -> int8 .onnx, by calibration samples

Quantises after training with the static quantiser of onnxruntime: pairs of QuantizeLinear and DequantizeLinear around the operators
that compute in int8, weights by channel, tensors by the ranges that the calibration samples reach. Inputs and results stay as
declared. Weights have 7 bits: the sums of two products of 8 bits saturate on x86 processors without VNNI, in onnxruntime and OpenVINO, and the results are
wrong there without a word. Taken where an output asks for ``precision = "int8"`` and an ONNX file is on its road. Files below opset 13, the first that has scales by
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
        "weight_bits": Option(
            7,
            choices=(7, 8),
            help="8 is for devices whose sums of int8 products do not saturate: x86 without VNNI saturates.",
        ),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
    },
    needs=_needs,
)
