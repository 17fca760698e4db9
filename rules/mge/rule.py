"""mge: .tm -> MegEngine .mge, for Lite in C++ and Python

Dumps the traced network for inference. ``layout`` and ``precision`` belong to the device; a file whose layout is for
ARM, OpenCL or CUDA is made and its inputs and results are checked, but it is not run on this machine.
"""

from megbuild.rule import Option, Rule

LAYOUTS = ("default", "nchw88", "nchw44", "nchw44_dot", "nchw4", "nchw32", "nchw64", "chwn4", "hwcd4")

RULE = Rule(
    consumes="tm",
    produces="mge",
    files=(".mge",),
    toolchain="megengine",
    options={
        "layout": Option(
            "default",
            choices=LAYOUTS,
            help="Order of tensors in memory: nchw88 for x86 AVX, nchw44 for ARM, nchw44_dot for int8 on ARM v8.2, "
            "nchw4, nchw32, nchw64 and chwn4 for CUDA, hwcd4 for OpenCL.",
        ),
        "precision": Option(
            "fp32",
            choices=("fp32", "fp16", "fp16-storage"),
            help="fp16 computes and stores in float16, fp16-storage stores in float16 and computes in float32.",
        ),
        "optimize": Option(True, help="Fold and fuse for inference; off keeps the operators of the .tm."),
        "fuse_conv_bias": Option(False, help="Fuse convolution, bias and nonlinearity (float CUDA, quantised CPU)."),
        "fuse_conv_add": Option(False, help="Fuse a convolution with the tensor that is added to it (CUDA)."),
        "fuse_preprocess": Option(False, help="Fuse type conversion, padding of channels and transposition."),
    },
    runs_on=("Lite Python",),
)
