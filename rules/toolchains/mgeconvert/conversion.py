"""What the workers of ONNX, TFLite and Caffe have in common: the network to convert, and which way it goes."""

from __future__ import annotations

import ctypes
from typing import Any

import mgeconvert_compat

from megbuild_worker import samples, stable, traced
from megbuild_worker.job import Job

M_MMAP_THRESHOLD = -3
"""glibc's number of the parameter."""


def network(job: Job) -> Any:
    """The traced network under the declared names; mgeconvert is mended from here on."""
    import megengine

    # Weights and activations go back to the system when they are freed; glibc would learn to keep them.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 18)
    mgeconvert_compat.apply()
    loaded = megengine.load(str(job.input("tm")))
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
    if lowering.is_quantised(loaded):
        keep = isinstance(emission, quantised_tflite.QuantisedTfliteEmission)
        quantised.settle(loaded, keep)
        notes = None if keep else quantised_notes.Notes()
    emission.notes = notes
    feed = samples.synthetic(job.declared_inputs)
    lowering.lower(loaded, [feed[name] for name in traced.input_names(loaded)], emission)
    if notes is not None:
        path = job.outputs["artifact"][0].with_name(quantised_notes.FILE)
        stable.write_json(path, quantised_notes.written(emission))
