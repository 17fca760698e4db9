"""Converts ONNX to OpenVINO's IR and runs it on the CPU. Runs inside the openvino toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from megbuild_worker import samples
from megbuild_worker.job import Description, Job, Refusal, Tensor


def build(job: Job) -> None:
    """Converts; inputs and results keep their declared names and no other."""
    import openvino

    try:
        model = openvino.convert_model(str(job.input("onnx")))
    except Exception as error:  # its exceptions have no base class of their own
        raise Refusal(f"OpenVINO cannot convert this model: {_first_line(error)}") from error
    declared = {tensor.name for tensor in (*job.declared_inputs, *job.declared_results)}
    for port in (*model.inputs, *model.outputs):
        if wanted := port.get_names() & declared:  # nodes that do nothing leave their names with others
            port.get_tensor().set_names(wanted)
    openvino.save_model(model, str(job.outputs["artifact"][0]), compress_to_fp16=job.options.weights == "fp16")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of an IR; an axis without a number is -1."""
    import openvino

    model = openvino.Core().read_model(str(paths[0]))
    return {"inputs": [_tensor(port) for port in model.inputs], "results": [_tensor(port) for port in model.outputs]}


def _tensor(port: Any) -> Tensor:
    shape = tuple(axis.get_length() if axis.is_static else -1 for axis in port.get_partial_shape())
    return Tensor(", ".join(sorted(port.get_names())), shape, port.get_element_type().to_dtype().name)


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file on OpenVINO's CPU device, on one thread, in float32 where nothing is quantised."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    model = openvino.Core().compile_model(str(paths[0]), "CPU", settings)
    for feed in feeds:
        answer = model(dict(feed))
        yield {tensor.name: answer[tensor.name].copy() for tensor in job.declared_results}


def runtime() -> str:
    """The runtime and its version."""
    import openvino

    return f"OpenVINO {openvino.__version__.partition('-')[0]} CPU"
