"""ncnn: .onnx -> ncnn .param and .bin

Converts with pnnx for ncnn on phones and boards, and runs the result with ncnn on the CPU for the checks. Inputs and results are blobs of
their declared names. ncnn's blobs have no batch axis: an input declared as [1, 3, 224, 224] is given as 3 x 224 x 224, which its Input layer tells; only
where pnnx cannot tell the batch axis, in a network without convolutions and products of matrices, all axes stay. The files tell no
shapes of results: ``io.json`` repeats the declaration.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="onnx",
    produces="ncnn",
    files=(".param", ".bin"),
    toolchain="ncnn",
    options={
        "weights": Option(
            "fp32", choices=("fp32", "fp16"), help="How weights are stored; the device chooses how it computes."
        ),
    },
    requires={"onnx": {"batch": 1, "precision": "float"}},
    runs_on=("ncnn",),
)
