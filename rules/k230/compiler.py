"""nncase 2, step by step. Run as a program it compiles one network in a process of its own.

It reads ``compile.json``, ``model.onnx`` and ``calibration.npz`` in the current folder and writes ``model.kmodel``. A network
that nncase cannot compile ends the process: .NET does not let its exceptions through.
"""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

QUANTISED = {"int8": "uint8", "int16": "int16"}
"""nncase's name of the type of activations, by precision; its 8-bit type without a sign is the KPU's own."""


def nncase() -> Any:
    """The module, which finds the .NET runtime and its plug-in by variables when it is imported."""
    packages = sysconfig.get_paths()["purelib"]
    os.environ["DOTNET_ROOT"] = f"{packages}/dnv/net/runtime/.net"
    os.environ["NNCASE_PLUGIN_PATH"] = f"{packages}/nncase_kpu"
    os.environ["PATH"] = f"{packages}:{os.environ.get('PATH', os.defpath)}"  # the simulator is a program there
    import nncase as module

    return module


def compile_here() -> None:
    """Does what ``compile.json`` asks for."""
    module, request = nncase(), json.loads(Path("compile.json").read_text())
    options = module.CompileOptions()
    options.target, options.input_file = "k230", "model"
    options.dump_asm = options.dump_ir = False
    compiler = module.Compiler(options)
    compiler.import_onnx(Path("model.onnx").read_bytes(), module.ImportOptions())
    if request["precision"] != "fp32":
        compiler.use_ptq(_calibration(module, request))
    compiler.compile()
    Path("model.kmodel").write_bytes(compiler.gencode_tobytes())


def _calibration(module: Any, request: dict[str, Any]) -> Any:
    with np.load("calibration.npz") as arrays:
        by_input = [list(arrays[name]) for name in request["inputs"]]
    options = module.PTQTensorOptions()
    options.quant_type, options.w_quant_type = QUANTISED[request["precision"]], "uint8"
    options.calibrate_method = request["calibrate_method"]
    options.samples_count = len(by_input[0])
    options.set_tensor_data(by_input)
    return options


if __name__ == "__main__":
    compile_here()
