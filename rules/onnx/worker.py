"""Converts a .tm to ONNX and runs it with onnxruntime. Runs inside the mgeconvert toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.checker
import onnx.shape_inference

from megbuild_worker import names, samples, traced
from megbuild_worker.job import Description, Job, Refusal

AHEAD = {"build": ("conversion", "lowering.to_onnx", "onnx_file", "tm_file"), "measure": ("onnx_file",)}
"""What functions import by themselves, and what can be imported in advance for that."""


def build(job: Job) -> None:
    """Converts, names and checks the model; parameters of a QAT network go to ``quant_params.json`` beside it."""
    import conversion

    network = conversion.network(job)
    if conversion.is_lowered(job):
        from lowering import to_onnx

        emission = to_onnx.OnnxEmission(job.options.opset)
        conversion.lower(job, network, emission)
        del network  # its weights are in the emission now
        model = to_onnx.write(emission)
    else:
        model = _by_mgeconvert(job, network)
    _leave_out_what_differs(model)
    job.output("artifact").write_bytes(model.SerializeToString(deterministic=True))


def _by_mgeconvert(job: Job, network: Any) -> onnx.ModelProto:
    from mgeconvert.converters import tm_to_onnx

    class Named(tm_to_onnx.OnnxConverter):
        def convert(self) -> Any:
            tensors = [tensor for opr in self.net.all_oprs for tensor in [*opr.inp_tensors, *opr.out_tensors]]
            ends = [*self.net.graph_inputs, *self.net.graph_outputs]
            names.give(ends, [*traced.input_names(network), *traced.result_names(network)], tensors)
            return super().convert()

    tm_to_onnx.OnnxConverter = Named
    path = job.output("artifact")
    side = str(path.with_name("quant_params.json"))
    try:
        tm_to_onnx.tracedmodule_to_onnx(network, str(path), opset=job.options.opset, quantize_file_path=side)
    except AssertionError as assertion:
        raise Refusal(f"mgeconvert cannot write this model as ONNX: {assertion}") from assertion
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def _leave_out_what_differs(model: onnx.ModelProto) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor for tensor in model.graph.input if tensor.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.producer_name, model.producer_version = "megbuild", ""
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of an ONNX file."""
    import onnx_file

    return onnx_file.describe(paths[0])


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file with onnxruntime on one thread. A delivered file may have names that no declaration can have."""
    import onnx_file

    model = onnx_file.load(paths[0])
    given = onnx_file.inputs(model.graph)
    inputs = onnx_file.by_name("input", job.declared_inputs, [value.name for value in given])
    results = onnx_file.by_name("result", job.declared_results, [value.name for value in model.graph.output])
    session = onnx_file.session(model, paths[0].name)
    for feed in feeds:
        answer = session.run([*results.values()], onnx_file.cast({inputs[name]: feed[name] for name in inputs}, given))
        yield dict(zip(results, answer))


def runtime() -> str:
    """The runtime and its version."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"
