"""What the workers of ONNX, TFLite and Caffe have in common: the network to convert, and which way it goes."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import mgeconvert_compat

from megbuild_worker import batch, samples, stable, traced
from megbuild_worker.job import Job, Refusal

M_MMAP_THRESHOLD = -3
"""glibc's number of the parameter."""
NEAR, STEPS, MOST = 1e-3, 0.1, 0.9
"""A result of a batch is that of its samples alone where most elements are that near, as a part of the largest. In a
quantised network sums in another order may round to the next of its integers, and a result may have few of them."""


def network(job: Job) -> Any:
    """The traced network under the declared names; mgeconvert is mended from here on."""
    import tm_file

    # Weights and activations go back to the system when they are freed; glibc would learn to keep them.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 18)
    mgeconvert_compat.apply()
    loaded = tm_file.load(job.input("tm"), job)
    traced.settle(loaded, job.declared_inputs, job.declared_results)
    return loaded


def is_lowered(job: Job) -> bool:
    """Whether the network is lowered; else it goes through mgeconvert's own front end."""
    return str(job.options.lowering) == "concrete"


def lower(job: Job, loaded: Any, emission: Any) -> None:
    """Lowers the network into a format's emission, on a sample within the declared ranges.

    A network that was trained for quantisation keeps it where the format holds integers. Else the format gets the
    floats that the network computes without it, and the grids stand in ``quant_params.json`` beside the artifact.
    """
    import lowering
    from lowering import quantised, quantised_notes, quantised_tflite

    notes = None
    quantised_network = lowering.is_quantised(loaded)
    if quantised_network:
        keep = isinstance(emission, quantised_tflite.QuantisedTfliteEmission)
        quantised.settle(loaded, keep)
        notes = None if keep else quantised_notes.Notes()
    emission.notes = notes
    alone = [samples.synthetic(job.declared_inputs, seed) for seed in range(batch.size(job))]
    answers = _answers(loaded, alone) if len(alone) > 1 else []
    ((feed, _),) = batch.joined(alone, len(alone))
    try:
        given = lowering.lower(loaded, [feed[name] for name in traced.input_names(loaded)], emission)
    except lowering.CannotRun as error:
        message = "MegEngine cannot run this model on a sample" + (f" of {len(alone)}" if answers else "")
        raise Refusal(message, [(error.qualname, error.said)]) from error
    if answers:
        _check_batch(job, given, answers, STEPS if quantised_network else NEAR)
    if notes is not None:
        path = job.outputs["artifact"][0].with_name(quantised_notes.FILE)
        stable.write_json(path, quantised_notes.written(emission))


def _answers(loaded: Any, feeds: Sequence[samples.Feed]) -> list[dict[str, Any]]:
    """What the network gives for each sample alone."""
    import megengine

    order, names = traced.input_names(loaded), traced.result_names(loaded)
    given = (loaded(*(megengine.Tensor(feed[name]) for name in order)) for feed in feeds)
    return [{name: t.numpy() for name, t in zip(names, traced.flat_results(results))} for results in given]


def _check_batch(job: Job, given: Mapping[str, Any], answers: Sequence[Mapping[str, Any]], near: float) -> None:
    """Raises Refusal where a result of the batch is not one of each sample after another."""
    count = len(answers)
    for result in job.declared_results:
        shape = given[result.name].shape
        if shape != (count, *result.shape[1:]):
            told = f"its shape is {list(shape)}, of one sample {list(result.shape)}"
            raise Refusal(f'result "{result.name}" does not grow with a batch of {count}: {told}')
        for row, answer in enumerate(answers):
            if not _agree(given[result.name][row : row + 1], answer[result.name], near):
                told = f"that of sample {row + 1} is another one than without the others"
                raise Refusal(f'result "{result.name}" mixes the samples of a batch of {count}: {told}')


def _agree(found: Any, wanted: Any, near: float) -> bool:
    import numpy as np

    a, b = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    close = np.abs(a - b) <= near * np.abs(b[finite]).max(initial=0.0)
    return bool(np.mean(np.where(finite, close, ~np.isfinite(a))) >= MOST)
