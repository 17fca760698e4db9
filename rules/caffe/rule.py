"""caffe: .tm -> Caffe .prototxt and .caffemodel

Lowers the network to primitives and writes them with mgeconvert's converter, for compilers that take Caffe networks. OpenCV runs them for the checks.
A network trained for quantisation (``quantize_qat``) is written in floats, as it computes with its fake quantisation
switched off; the grids of its tensors and weights stand in ``quant_params.json`` beside the artifact.
"""

from typing import Any

from megbuild.rule import Option, Rule


def _refuses(options: Any) -> str:
    both = options.lowering == "mgeconvert" and options.batch > 1
    return 'batch is not for lowering = "mgeconvert", which keeps the shapes of the trace' if both else ""


RULE = Rule(
    consumes="tm",
    produces="caffe",
    files=(".prototxt", ".caffemodel"),
    toolchain="mgeconvert",
    options={
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "lowering": Option(
            "concrete",
            choices=("concrete", "mgeconvert"),
            help="Who takes the network apart: megbuild, or mgeconvert's own front end.",
        ),
        "fuse_bn": Option(False, help="With mgeconvert's front end: fold batch normalisation into what is before it."),
    },
    refuses=_refuses,
    runs_on=("OpenCV",),
)
