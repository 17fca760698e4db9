"""nncase 1, step by step. Run as a program it compiles one network in a process of its own.

It reads ``compile.json``, ``model.onnx`` and ``calibration.bin`` in the current folder and writes ``model.kmodel``.
"""

from __future__ import annotations

import json
from pathlib import Path


def compile_here() -> None:
    """Does what ``compile.json`` asks for."""
    import nncase
    import onnx

    request = json.loads(Path("compile.json").read_text())
    options = nncase.CompileOptions()
    options.target = "k210"
    quantised = request["samples"] > 0
    if quantised:
        options.quant_type, options.input_type = "uint8", "float32"
    compiler = nncase.Compiler(options)
    # nncase reads the shape of every tensor in between from the file.
    complete = onnx.shape_inference.infer_shapes(onnx.load("model.onnx"))
    compiler.import_onnx(complete.SerializeToString(deterministic=True), nncase.ImportOptions())
    if quantised:
        calibration = nncase.PTQTensorOptions()
        calibration.calibrate_method, calibration.samples_count = request["calibrate_method"], request["samples"]
        # All samples of the first input, then all of the second one: another order is taken without a word.
        calibration.set_tensor_data(Path("calibration.bin").read_bytes())
        compiler.use_ptq(calibration)
    compiler.compile()
    Path("model.kmodel").write_bytes(compiler.gencode_tobytes())


if __name__ == "__main__":
    compile_here()
