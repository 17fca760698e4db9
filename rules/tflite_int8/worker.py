"""Quantises a float TFLite file with ai-edge-quantizer. Runs inside the tflite_int8 toolchain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker.job import Description, Job, Refusal, Tensor

from . import ranges
from .file import File

FLOAT = ("INPUT", "OUTPUT", "DIV")
"""What stays float between conversions: inputs and results, as declared, and what TFLite's interpreter does not compute in int8."""


def build(job: Job) -> None:
    """Quantises by the ranges that the calibration samples reach; inputs and results stay float."""
    from ai_edge_quantizer import quantizer, recipe

    file = File(job.input("tflite").read_bytes())
    if file.integers():
        raise Refusal(
            "this TFLite file has int8 tensors already, as of a network trained for quantisation: "
            'leave precision out, or say precision = "float"'
        )
    file.prepare()
    content = file.packed()
    made = quantizer.Quantizer(content)
    asked = recipe.static_wi8_ai8()
    asked += [{"regex": ".*", "operation": kind, "algorithm_key": "no_quantize", "op_config": {}} for kind in FLOAT]
    made.load_quantization_recipe(asked)
    found = ranges.reached(job, content, file)
    try:
        quantised = made.quantize(found, enable_progress_report=False).quantized_model
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        raise Refusal(f"ai-edge-quantizer cannot quantise this model: {' '.join(str(error).split())}") from error
    whole = File(bytes(quantised))
    if not whole.integers():
        raise Refusal("ai-edge-quantizer left all of this model in float: it knows none of its operators")
    whole.name_ends(file)
    job.output("artifact").write_bytes(whole.packed())


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results; a tensor with four dimensions is NHWC, as in the float file."""
    file = File(Path(paths[0]).read_bytes())
    return {
        "inputs": [_tensor(tensor, file) for tensor in file.inputs],
        "results": [_tensor(tensor, file) for tensor in file.results],
    }


def _tensor(tensor: Any, file: File) -> Tensor:
    shape = tuple(int(n) for n in np.asarray(tensor.shape))
    return Tensor(tensor.name.decode(), shape, file.type_of(tensor), layout="NHWC" if len(shape) == 4 else "")
