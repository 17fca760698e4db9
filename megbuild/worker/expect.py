"""What is expected of every artifact: the results of the reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import samples
from .job import Job, Refusal

GOLDEN = 4
"""Samples that a release carries with their results, for whoever receives it."""


def do(worker: ModuleType, job: Job) -> None:
    """Writes ``<results>/<result>.npy``: what the reference gives for every sample, stacked along a new first axis.

    The first of them stand in ``<golden>/results`` as well, and in ``<golden>/inputs`` what they were the results of.
    """
    given: dict[str, list[Any]] = {result.name: [] for result in job.declared_results}
    kept: list[samples.Feed] = []
    feeds = _keeping(samples.feeds(job.declared_inputs, job.inputs.get("samples", [])), kept)
    for results in worker.run(job.inputs["artifact"], feeds, job):
        for result in job.declared_results:
            shape = np.shape(results[result.name])
            if (
                shape != result.shape
            ):  # of a delivered file; a made one was held against the declaration when it was made
                raise Refusal(f'result "{result.name}" is {list(shape)}, declared is {list(result.shape)}')
            given[result.name].append(results[result.name])
    _save(job.output("results"), given)
    golden = job.output("golden")
    _save(golden / "results", {name: arrays[:GOLDEN] for name, arrays in given.items()})
    _save(golden / "inputs", {tensor.name: [feed[tensor.name] for feed in kept] for tensor in job.declared_inputs})


def _keeping(feeds: Iterator[samples.Feed], kept: list[samples.Feed]) -> Iterator[samples.Feed]:
    for feed in feeds:
        if len(kept) < GOLDEN:
            kept.append({name: np.array(array) for name, array in feed.items()})
        yield feed


def _save(folder: Path, arrays: dict[str, list[Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, stacked in arrays.items():
        np.save(folder / f"{name}.npy", np.stack(stacked), allow_pickle=False)
