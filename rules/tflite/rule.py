"""tflite: .tm -> TFLite

Lowers the network to primitives and writes them with mgeconvert's converter. A tensor with four dimensions is NHWC in the file, whatever the model declares: ``io.json``
says so, and the checks transpose it. A network trained for quantisation (``quantize_qat``) becomes int8 between float inputs
and results; what its training left in float is computed in float.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _refuses(options: Any) -> str:
    both = options.lowering == "mgeconvert" and options.batch > 1
    return 'batch is not for lowering = "mgeconvert", which keeps the shapes of the trace' if both else ""


RULE = Rule(
    consumes="tm",
    produces="tflite",
    files=(".tflite",),
    toolchain="mgeconvert",
    options={
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "lowering": Option(
            "concrete",
            choices=("concrete", "mgeconvert"),
            help="Who takes the network apart: megbuild, or mgeconvert's own front end.",
        ),
        "between": Option(
            "float",
            choices=("float", "int8"),
            help="How averages and relu6 of a network trained for quantisation, whose results are on no grid of integers, "
            "are computed: float as it was trained, or int8, rounded to the grid of what they are given.",
        ),
        "exact": Option(
            True,
            help="Layers of a network trained for quantisation read their int8 inputs in 16 bits, so that TFLite rounds their "
            "sums as training did; false keeps to 8 bits.",
        ),
    },
    refuses=_refuses,
    runs_on=("TFLite interpreter",),
)
