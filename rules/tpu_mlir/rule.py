"""bmodel, cvimodel: .onnx -> Sophgo BM1684X .bmodel, CV181x .cvimodel

Compiles with tpu-mlir 1.30.2 in three steps: to its own language, ranges from the calibration samples (int8 only), and to the
chip. Inputs and results stay float32 whatever the precision: the file converts them. The compiler writes the time into its
files, so it runs under a clock that stands still (``native/clock.c``).

The files call results by names of operators. ``tensors.json`` beside them has the declared names in the order of the file.
Measurements run the delivered file in the vendor's simulator of the chip.
"""

from typing import Any

from megbuild.rule import Option, Rule

HELP = "int8 needs calibration samples; the others compute in floats of that kind."


def _needs(options: Any) -> tuple[str, ...]:
    return ("calibration",) if options.precision == "int8" else ()


RULES = (
    Rule(
        consumes="onnx",
        produces="bmodel",
        files=(".bmodel",),
        toolchain="tpu_mlir",
        options={"precision": Option("fp16", choices=("fp32", "fp16", "bf16", "int8"), help=HELP)},
        needs=_needs,
        requires={"onnx": {"opset": 12, "batch": 1}},
        runs_on=("tpu-mlir simulator",),
    ),
    Rule(
        consumes="onnx",
        produces="cvimodel",
        files=(".cvimodel",),
        toolchain="tpu_mlir",
        options={"precision": Option("bf16", choices=("bf16", "int8"), help=HELP)},
        needs=_needs,
        requires={"onnx": {"opset": 12, "batch": 1}},
        runs_on=("tpu-mlir simulator",),
    ),
)
