"""Converts a .tm to TFLite and runs it with the interpreter. Runs inside the mgeconvert toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker import names, samples, traced
from megbuild_worker.job import Description, Job, Refusal, Tensor

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)

AHEAD = {"build": ("conversion", "lowering.quantised_tflite", "lowering.tflite_file", "lowering.to_tflite", "tm_file")}
"""What functions import by themselves, and what can be imported in advance for that."""


def build(job: Job) -> None:
    """Converts under the declared names; parameters of a QAT network go to ``quant_params.json`` beside the file."""
    import conversion

    network = conversion.network(job)
    if conversion.is_lowered(job):
        import lowering
        from lowering import quantised_tflite, tflite_file, to_tflite

        emission = to_tflite.TfliteEmission()
        if lowering.is_quantised(network):
            emission = quantised_tflite.QuantisedTfliteEmission(job.options.between, job.options.exact)
        conversion.lower(job, network, emission)
        del network  # its weights are in the emission now
        job.output("artifact").write_bytes(tflite_file.write(emission.graph))
    else:
        _by_mgeconvert(job, network)


def _by_mgeconvert(job: Job, network: Any) -> None:
    from mgeconvert.converters import tm_to_tflite

    class Named(tm_to_tflite.TFLiteConverter):
        def convert(self, disable_nhwc: bool = False) -> Any:
            tensors = [tensor for opr in self.net.all_oprs for tensor in [*opr.inp_tensors, *opr.out_tensors]]
            ends = [*self.net.graph_inputs, *self.net.graph_outputs]
            names.give(ends, [*traced.input_names(network), *traced.result_names(network)], tensors)
            return super().convert(disable_nhwc)

    tm_to_tflite.TFLiteConverter = Named
    path = job.output("artifact")
    side = str(path.with_name("quant_params.json"))
    try:
        tm_to_tflite.tracedmodule_to_tflite(network, str(path), quantize_file_path=side)
    except AssertionError as assertion:
        raise Refusal(f"mgeconvert cannot write this model as TFLite: {assertion}") from assertion
    except KeyError as missing:
        operator = getattr(missing.args[0], "__name__", missing.args[0])
        raise Refusal(f"mgeconvert cannot write this model as TFLite: it does not know {operator}") from missing


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of a TFLite file."""
    interpreter = _interpreter(paths[0])
    return {
        "inputs": [_tensor(detail) for detail in interpreter.get_input_details()],
        "results": [_tensor(detail) for detail in interpreter.get_output_details()],
    }


def _tensor(detail: dict[str, Any]) -> Tensor:
    shape = tuple(int(n) for n in detail["shape"])
    return Tensor(detail["name"], shape, np.dtype(detail["dtype"]).name, layout="NHWC" if len(shape) == 4 else "")


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file with the interpreter's own kernels on one thread."""
    interpreter = _interpreter(paths[0])
    interpreter.allocate_tensors()
    inputs, results = interpreter.get_input_details(), interpreter.get_output_details()
    for feed in feeds:
        for detail in inputs:
            interpreter.set_tensor(detail["index"], _transposed(feed[detail["name"]], TO_NHWC))
        interpreter.invoke()
        yield {detail["name"]: _transposed(interpreter.get_tensor(detail["index"]), TO_NCHW) for detail in results}


def _transposed(array: samples.Array, order: tuple[int, ...]) -> samples.Array:
    return np.ascontiguousarray(array.transpose(order)) if array.ndim == 4 else array


def _interpreter(path: Path) -> Any:
    from tflite_runtime import interpreter

    # XNNPACK computes in another order on each kind of processor.
    plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return interpreter.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=plain)


def runtime() -> str:
    """The runtime and its version."""
    import tflite_runtime

    return f"TFLite interpreter {tflite_runtime.__version__}"
