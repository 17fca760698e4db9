"""cambricon: .onnx or Caffe -> Cambricon MagicMind .mm

Drives MagicMind's Python interface as Cambricon documents it, for one architecture. Neuware and MagicMind cannot be locked: they are found by
NEUWARE_HOME and MAGICMIND_PYTHON, and their versions are part of every key. int8 is not offered: its calibration
needs a board.

NOT RUN ON THE REAL COMPILER: it cannot be had without an account at Cambricon. The calls are those of Cambricon's
documentation and are tested against an emulation of it. Looked up in Cambricon's public samples of MagicMind: Network, Parser(ModelKind.kOnnx or kCaffe).parse (for
Caffe the weights first), BuilderConfig.parse_from_string with archs, graph_shape_mutable and precision_config, Builder.build_model, serialize_to_file; the precision
modes force_float32 and force_float16; the architectures mtp_270, mtp_322 and mtp_372. mtp_220 was found in the build scripts of its operators only.
MAGICMIND_PYTHON is a name of megbuild's own: the samples import MagicMind from the Python that it was installed into. Nothing on an x86-64 machine runs or reads an .mm, so an output is "not run", and its
inputs and results are those that MagicMind was told.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes=("onnx", "caffe"),
    produces="magicmind",
    files=(".mm",),
    toolchain="cambricon",
    options={
        "target": Option("mtp_372", help="The architecture, as MagicMind's archs; a hardware preset sets it."),
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "precision": Option("fp16", choices=("fp16", "fp32"), help="What is computed in."),
    },
    requires={"onnx": {"opset": 11}},
)
