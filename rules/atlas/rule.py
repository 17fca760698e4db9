"""atlas: .onnx or Caffe -> Huawei Ascend .om

Drives ``atc`` of the CANN Toolkit as Huawei documents it, for one chip. The toolkit cannot be locked: it is found by
the variables of its ``set_env.sh``, and its version is part of every key.

NOT RUN ON THE REAL COMPILER: it cannot be had without an account at Huawei. The command line and the environment
are those of Huawei's documentation and are tested against an emulation of it. Nothing on an x86-64 machine runs or reads an .om, so an output
is "not run", and its inputs and results are those that ``atc`` was told.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes=("onnx", "caffe"),
    produces="om",
    files=(".om",),
    toolchain="atlas",
    options={
        "target": Option("Ascend310P3", help="The chip, as atc's --soc_version; a hardware preset sets it."),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "precision": Option("fp16", choices=("fp16", "fp32"), help="fp32 keeps the types of the network."),
    },
    requires={"onnx": {"opset": 11}},
)
