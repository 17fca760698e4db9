"""The range of every tensor over the calibration samples, by the interpreter's own kernels.

The quantiser's own calibration takes a moving average, so that the order of the samples counts, on kernels that compute in another order on
each kind of processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from megbuild_worker import batch, samples
from megbuild_worker.job import Job, Refusal

from .file import ENDLESS, SIGNATURE, File

DIGITS = 4
"""Significant digits of a range: what differs between processors comes far behind them."""


def reached(job: Job, content: bytes, file: File) -> dict[str, dict[str, Any]]:
    """The smallest and the largest value of each float tensor, as the quantiser reads it: by name, with the tensor's rank."""
    from ai_edge_litert import interpreter

    plain = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    model = interpreter.Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=plain,
        experimental_preserve_all_tensors=True,
    )
    model.allocate_tensors()
    given = model.get_signature_runner(SIGNATURE).get_input_details()
    watched = {
        number: tensor.name.decode()
        for number, tensor in enumerate(file.graph.tensors)
        if file.type_of(tensor) == "float32" and file.constant(tensor) is None
    }
    least, most = dict.fromkeys(watched, np.inf), dict.fromkeys(watched, -np.inf)
    for feed, _ in batch.joined(samples.feeds(job.declared_inputs, job.inputs["calibration"]), batch.size(job)):
        for name, detail in given.items():
            model.set_tensor(detail["index"], _stored(feed[name]))
        model.invoke()
        for number in watched:
            array = model.get_tensor(number)
            least[number], most[number] = min(least[number], array.min()), max(most[number], array.max())
    found = {watched[number]: (float(least[number]), float(most[number])) for number in watched}
    for _, source, number, result in file.borders():
        fill = float(np.frombuffer(bytes(file.constant(number)), np.float32)[0])
        if abs(fill) > ENDLESS:  # the smallest value of the grid serves as well
            found[result.name.decode()] = found[source.name.decode()]
    ranks = {tensor.name.decode(): len(tensor.shape) for tensor in file.graph.tensors}
    return {name: _entry(name, low, high, ranks[name]) for name, (low, high) in found.items()}


def _entry(name: str, low: float, high: float, rank: int) -> dict[str, Any]:
    if not np.isfinite([low, high]).all():
        raise Refusal(f"{name} is not finite on a calibration sample: it has no range")
    return {"min": _rounded(low, rank), "max": _rounded(high, rank)}


def _rounded(value: float, rank: int) -> Any:
    return np.full((1,) * rank, float(f"{value:.{DIGITS}g}"), np.float32)


def _stored(array: samples.Array) -> samples.Array:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array
