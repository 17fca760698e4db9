"""atlas: .onnx or Caffe -> Huawei Ascend .om

Drives ``atc`` of the CANN Toolkit as Huawei documents it, for one chip. The toolkit cannot be locked: it is found by
the variables of its ``set_env.sh``, and its version is part of every key.

NOT RUN ON THE REAL COMPILER: it cannot be had without an account at Huawei. The command line and the environment
are those of Huawei's documentation and are tested against an emulation of it. Looked up: the options and their values in the parameter overview of ATC for CANN 8.0.RC3
(hiascend.com, canncommercial/80RC3/devaids/devtools/atc/atlasatc_16_0039.html) and its page on precision modes (63RC2, atctool_000093.html); the names of chips in
Huawei's samples, which call atc with Ascend310, Ascend310B1, Ascend310B4 and Ascend310P3; the file of the version and the Python packages in the guides of CANN's own
repositories (`<arch>-linux/ascend_toolkit_install.info`; attrs cython numpy decorator sympy cffi pyyaml pathlib2 psutil protobuf scipy requests absl-py). Nothing on an x86-64 machine runs or reads an .om, so an output
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
