"""Dumps a .tm as .mge and runs it with Lite Python. Runs inside the megengine toolchain."""

from __future__ import annotations

from typing import Any

import megbuild_mge
from megbuild_worker import samples, traced
from megbuild_worker.job import Job

AHEAD = {"build": ("tm_file",)}
"""What functions import by themselves, and what can be imported in advance for that."""

describe, run, runtime = megbuild_mge.describe, megbuild_mge.run, megbuild_mge.runtime


def build(job: Job) -> None:
    """Traces the network once more as a graph and dumps it under the declared names."""
    import megengine
    import tm_file

    network = tm_file.load(job.input("tm"), job)
    traced.settle(network, job.declared_inputs, job.declared_results)
    example = samples.synthetic(job.declared_inputs)

    def graph(*tensors: Any) -> list[Any]:
        return traced.flat_results(network(*tensors))

    names = traced.input_names(network)
    tensors = [megengine.Tensor(example[name]) for name in names]
    megbuild_mge.dump(job, graph, tensors, names, traced.result_names(network))
