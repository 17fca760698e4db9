"""tflite: .tm -> TFLite

Lowers the network to primitives and writes them with mgeconvert's converter. A tensor with four dimensions is NHWC in the file, whatever the model declares: ``io.json``
says so, and the checks transpose it.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="tm",
    produces="tflite",
    files=(".tflite",),
    toolchain="mgeconvert",
    options={
        "lowering": Option(
            "concrete",
            choices=("concrete", "mgeconvert"),
            help="Who takes the network apart: megbuild, or mgeconvert's own front end, as for quantised networks.",
        ),
    },
    runs_on=("TFLite interpreter",),
)
