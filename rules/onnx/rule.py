"""onnx: .tm -> ONNX

Lowers the network to primitives, writes them with mgeconvert's converter, gives inputs and results their declared names, and leaves out what would differ from one
conversion to the next or mislead a consumer: initialisers listed as inputs, versions, doc strings.
A network trained for quantisation (``quantize_qat``) is written in floats, as it computes with its fake quantisation
switched off; the grids of its tensors and weights stand in ``quant_params.json`` beside the artifact.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="tm",
    produces="onnx",
    files=(".onnx",),
    toolchain="mgeconvert",
    options={
        "opset": Option(
            12, range=(7, 19), help="Version of the operator set, from 11 on; 7 to 12 with mgeconvert's own front end."
        ),
        "lowering": Option(
            "concrete",
            choices=("concrete", "mgeconvert"),
            help="Who takes the network apart: megbuild, or mgeconvert's own front end.",
        ),
    },
    runs_on=("onnxruntime",),
)
