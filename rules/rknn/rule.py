"""rknn: .onnx -> Rockchip .rknn

Compiles for one chip with rknn-toolkit2 2.5.0: in float16, or in int8 with the model's calibration samples. The
toolkit writes addresses and memory that it never set into its files; the artifact has zeros in their place, so that
its bytes depend on nothing but the model, the samples and the options (``canonical.py`` says how that is known).

The vendor's simulator runs the model in memory, not the file. A measurement therefore compiles the same inputs again,
simulates that, and first holds the file against what the simulated model exports.
"""

from typing import Any

from megbuild.rule import Option, Rule

TARGETS = (
    "rk3562", "rk3566", "rk3568", "rk3576", "rk3588", "rv1103", "rv1103b", "rv1106", "rv1106b", "rv1126b",
)  # fmt: skip


def _needs(options: Any) -> tuple[str, ...]:
    return ("calibration",) if options.precision == "int8" else ()


RULE = Rule(
    consumes="onnx",
    produces="rknn",
    files=(".rknn",),
    toolchain="rknn",
    options={
        "target": Option("rk3588", choices=TARGETS, help="The chip; a hardware preset sets it."),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "precision": Option(
            "fp16",
            choices=("fp16", "int8"),
            help="int8 needs calibration samples; rv1103, rv1103b, rv1106 and rv1106b take nothing else.",
        ),
        "optimization_level": Option(3, range=(0, 3), help="How much the toolkit fuses and rearranges; 0 is nothing."),
        "canonical": Option(
            True,
            help="Put zeros where the toolkit wrote addresses and memory it never set; off keeps its raw bytes, "
            "which differ from one build to the next.",
        ),
    },
    needs=_needs,
    requires={"onnx": {"opset": 12}},
    notes=("notes.json",),
    runs_on=("rknn simulator",),
    runs_from_inputs=True,
)
