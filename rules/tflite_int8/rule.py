"""tflite_int8: float .tflite -> int8 .tflite, by calibration samples

Quantises after training with ai-edge-quantizer: weights by channel, tensors by the ranges that the calibration samples reach.
Inputs and results stay float, as declared. Taken where an output asks for ``precision = "int8"`` and a TFLite file is on its road.
A network that was trained for quantisation is int8 already, and refused.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _needs(options: Any) -> tuple[str, ...]:
    return ("calibration",)


RULE = Rule(
    consumes="tflite",
    produces="tflite",
    files=(".tflite",),
    toolchain="tflite_int8",
    options={
        "precision": Option("float", choices=("float", "int8"), help="int8 needs calibration samples."),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
    },
    needs=_needs,
)
