"""openvino: .onnx -> OpenVINO IR, .xml and .bin

Converts with OpenVINO for Intel CPUs, GPUs and NPUs, and runs the result on its CPU device for the checks. ``precision = "int8"`` is
that of the ONNX file before it, whose scales become OpenVINO's own.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="onnx",
    produces="openvino",
    files=(".xml", ".bin"),
    toolchain="openvino",
    options={
        "weights": Option(
            "fp32", choices=("fp32", "fp16"), help="How weights are stored; the device chooses how it computes."
        ),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
    },
    runs_on=("OpenVINO CPU",),
)
