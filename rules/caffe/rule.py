"""caffe: .tm -> Caffe .prototxt and .caffemodel

Lowers the network to primitives and writes them with mgeconvert's converter, for compilers that take Caffe networks. OpenCV runs them for the checks.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="tm",
    produces="caffe",
    files=(".prototxt", ".caffemodel"),
    toolchain="mgeconvert",
    options={
        "lowering": Option(
            "concrete",
            choices=("concrete", "mgeconvert"),
            help="Who takes the network apart: megbuild, or mgeconvert's own front end.",
        ),
        "fuse_bn": Option(False, help="With mgeconvert's front end: fold batch normalisation into what is before it."),
    },
    runs_on=("OpenCV",),
)
