"""caffe: .tm -> Caffe .prototxt and .caffemodel

Converts with mgeconvert, for compilers that take Caffe networks. OpenCV runs them for the checks.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="tm",
    produces="caffe",
    files=(".prototxt", ".caffemodel"),
    toolchain="mgeconvert",
    options={
        "fuse_bn": Option(False, help="Fold batch normalisation into the convolution or linear layer before it."),
    },
    runs_on=("OpenCV",),
)
