"""mge_direct: training code -> MegEngine .mge, without a .tm between them

The dashed road, taken where an output says ``direct = true``. It dumps what the training code computes as it stands. The check is the same: the
file is run by Lite, and compared with the .tm of the recommended road, which is made for that.
"""

from megbuild.rule import Option, Rule

LAYOUTS = ("default", "nchw88", "nchw44", "nchw44_dot", "nchw4", "nchw32", "nchw64", "chwn4", "hwcd4")

RULE = Rule(
    consumes="source",
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
    # Made only for a model that declares `train`.
    needs=lambda options: ("weights",),
    runs_on=("Lite Python",),
    direct=True,
)
