"""k230: .onnx -> Canaan K230 .kmodel

Compiles with nncase 2.11 and its K230 plug-in: activations in int8 or int16 with the model's calibration samples, weights in
int8, inputs and results in float32. The NPU (KPU) computes nothing else: a float network compiles as well, and then runs
altogether on the chip's CPU, so ``fp32`` has to be asked for; a quantised file with nothing for the KPU is refused.

A .kmodel knows its inputs and results by their numbers. Their names stand in ``tensors.json`` beside it, in that order.
Measurements run the delivered file in nncase's simulator of the chip.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _needs(options: Any) -> tuple[str, ...]:
    return () if options.precision == "fp32" else ("calibration",)


RULE = Rule(
    consumes="onnx",
    produces="k230",
    files=(".kmodel",),
    toolchain="k230",
    options={
        "precision": Option(
            "int8",
            choices=("int8", "int16", "fp32"),
            help="int8 and int16 (activations; weights are int8) need calibration samples; "
            "fp32 runs on the chip's CPU, not on its NPU.",
        ),
        "calibrate_method": Option(
            "Kld", choices=("Kld", "NoClip"), help="How ranges are drawn from the samples: least divergence, or all."
        ),
    },
    needs=_needs,
    requires={"onnx": {"opset": 12, "batch": 1}},
    runs_on=("nncase K230 simulator",),
)
