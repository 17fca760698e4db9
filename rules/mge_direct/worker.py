"""Dumps what the training code computes as .mge. Runs inside the megengine toolchain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import megbuild_mge
import megbuild_training
from megbuild_worker.job import Job, Refusal

describe, run, runtime = megbuild_mge.describe, megbuild_mge.run, megbuild_mge.runtime


def build(job: Job) -> None:
    """Calls the user's code for the network, and traces that as a graph under the declared names."""
    names = [result.name for result in job.declared_results]
    with megbuild_training.network(job) as made:

        def graph(*tensors: Any) -> list[Any]:
            return _in_declared_order(made.module(*tensors), names)

        megbuild_mge.dump(job, graph, made.example, [tensor.name for tensor in made.inputs], names)


def _in_declared_order(given: Any, names: Sequence[str]) -> list[Any]:
    """The results by key where the network gives a dict, else by position; nested ones take the recommended road."""
    if isinstance(given, dict):
        if sorted(given) != sorted(names):
            said = ", ".join(map(str, sorted(given)))
            raise Refusal(f"the model returns a dict of {said}; the declared results are {', '.join(names)}")
        return [given[name] for name in names]
    results = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(results) != len(names):
        raise Refusal(f"the model returns {len(results)} results, {len(names)} are declared")
    return results
