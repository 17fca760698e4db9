"""What the workers of ONNX, TFLite and Caffe have in common: the network to convert, and which way it goes."""

from __future__ import annotations

import ctypes
from typing import Any

import mgeconvert_compat
from megbuild_worker import samples, traced
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


def is_lowered(job: Job, loaded: Any) -> bool:
    """Whether the network is lowered; what was trained for quantisation goes through mgeconvert's own front end."""
    import lowering

    return job.options.lowering == "concrete" and not lowering.is_quantised(loaded)


def lower(job: Job, loaded: Any, emission: Any) -> None:
    """Lowers the network into a format's emission, on a sample within the declared ranges."""
    import lowering

    feed = samples.synthetic(job.declared_inputs)
    lowering.lower(loaded, [feed[name] for name in traced.input_names(loaded)], emission)
