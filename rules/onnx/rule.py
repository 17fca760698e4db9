"""onnx: .tm -> ONNX

Converts with mgeconvert, gives inputs and results their declared names, and leaves out what would differ from one
conversion to the next or mislead a consumer: initialisers listed as inputs, versions, doc strings.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="tm",
    produces="onnx",
    files=(".onnx",),
    toolchain="mgeconvert",
    options={
        "opset": Option(12, range=(7, 12), help="Version of the operator set; 11 and 12 are understood most widely."),
    },
    runs_on=("onnxruntime",),
)
