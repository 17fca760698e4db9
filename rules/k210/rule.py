"""k210: .onnx -> Canaan K210 .kmodel

Compiles with nncase 1.9: int8 (unsigned) with the model's calibration samples, inputs and results in float32. The NPU (KPU)
takes convolutions of 1x1 and 3x3 in int8 and nothing else; the rest runs on the chip's CPU. A float network compiles as well, and
then stays on the CPU altogether, so ``fp32`` has to be asked for; an int8 file with nothing for the KPU is refused.

nncase leaves four bits of each activation register as it found them in memory. The artifact has zeros there
(``canonical.py``). Measurements run the delivered file in nncase's simulator of the chip. A .kmodel knows its inputs and results by
their numbers; their names stand in ``tensors.json`` beside it, in that order.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _needs(options: Any) -> tuple[str, ...]:
    return () if options.precision == "fp32" else ("calibration",)


RULE = Rule(
    consumes="onnx",
    produces="k210",
    files=(".kmodel",),
    toolchain="k210",
    options={
        "precision": Option(
            "int8",
            choices=("int8", "fp32"),
            help="int8 needs calibration samples; fp32 runs on the chip's CPU, not on its NPU.",
        ),
        "calibrate_method": Option(
            "no_clip",
            choices=("no_clip", "kld_m0", "kld_m1", "kld_m2"),
            help="How ranges are drawn from the samples: all of them, or least divergence in one of three ways.",
        ),
    },
    needs=_needs,
    requires={"onnx": {"opset": 12, "batch": 1}},
    runs_on=("nncase K210 simulator",),
)
