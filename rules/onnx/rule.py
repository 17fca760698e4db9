"""onnx: .tm -> ONNX

Lowers the network to primitives, writes them with mgeconvert's converter, gives inputs and results their declared names, and leaves out what would differ from one
conversion to the next or mislead a consumer: initialisers listed as inputs, versions, doc strings.
A network trained for quantisation (``quantize_qat``) is written in floats, as it computes with its fake quantisation
switched off; the grids of its tensors and weights stand in ``quant_params.json`` beside the artifact.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _refuses(options: Any) -> str:
    own = options.lowering == "mgeconvert"
    if own and options.batch > 1:
        return 'batch is not for lowering = "mgeconvert", which keeps the shapes of the trace'
    if own and options.opset > 12:
        return 'lowering = "mgeconvert" writes opset 7 to 12'
    return "" if own or options.opset >= 11 else 'opset 7 to 10 wants lowering = "mgeconvert"; else it is 11 or more'


RULE = Rule(
    consumes="tm",
    produces="onnx",
    files=(".onnx",),
    toolchain="mgeconvert",
    options={
        "opset": Option(
            12, range=(7, 19), help="Version of the operator set, from 11 on; 7 to 12 with mgeconvert's own front end."
        ),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "lowering": Option(
            "concrete",
            choices=("concrete", "mgeconvert"),
            help="Who takes the network apart: megbuild, or mgeconvert's own front end.",
        ),
    },
    refuses=_refuses,
    runs_on=("onnxruntime",),
)
