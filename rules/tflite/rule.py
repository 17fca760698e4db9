"""tflite: .tm -> TFLite

Converts with mgeconvert. A tensor with four dimensions is NHWC in the file, whatever the model declares: ``io.json``
says so, and the checks transpose it.
"""

from megbuild.rule import Rule

RULE = Rule(
    consumes="tm",
    produces="tflite",
    files=(".tflite",),
    toolchain="mgeconvert",
    runs_on=("TFLite interpreter",),
)
