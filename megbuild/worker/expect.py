"""What is expected of every artifact: the results of the reference."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from . import samples
from .job import Job, Refusal


def do(worker: ModuleType, job: Job) -> None:
    """Writes ``<results>/<result>.npy``: what the reference gives for every sample, stacked along a new first axis."""
    given: dict[str, list[Any]] = {result.name: [] for result in job.declared_results}
    feeds = samples.feeds(job.declared_inputs, job.inputs.get("samples", []))
    for results in worker.run(job.inputs["artifact"], feeds, job):
        for result in job.declared_results:
            shape = np.shape(results[result.name])
            if (
                shape != result.shape
            ):  # of a delivered file; a made one was held against the declaration when it was made
                raise Refusal(f'result "{result.name}" is {list(shape)}, declared is {list(result.shape)}')
            given[result.name].append(results[result.name])
    folder = job.output("results")
    folder.mkdir(exist_ok=True)
    for name, arrays in given.items():
        np.save(folder / f"{name}.npy", np.stack(arrays), allow_pickle=False)
