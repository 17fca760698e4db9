"""mnn: .onnx -> MNN .mnn

Converts with MNN's converter for MNN on phones, and runs the result with MNN on the CPU for the checks. The converter writes a random
identifier into each file: here it is made of the file's content. Its own reading of an int8 ONNX file aborts, so it is given floats.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="onnx",
    produces="mnn",
    files=(".mnn",),
    toolchain="mnn",
    options={
        "weights": Option(
            "fp32",
            choices=("fp32", "fp16", "int8"),
            help="How weights are stored; int8 by channel, without calibration samples. The device chooses how it computes.",
        ),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
    },
    requires={"onnx": {"precision": "float"}},
    runs_on=("MNN CPU",),
)
