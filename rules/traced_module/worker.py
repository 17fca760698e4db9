"""Runs the user's training code and traces what it makes. Runs inside the megengine toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import megengine
import megengine.traced_module
import numpy as np
import tm_file

import megbuild_training
from megbuild_worker import samples, stable, traced
from megbuild_worker.job import Description, Job

from . import lines


def build(job: Job) -> None:
    """Calls ``build()`` or ``build(weights)`` of the user's code, traces the module in eval mode and saves the .tm.

    The values of the example that it is traced with are not kept in the .tm; they matter only to Python code that
    branches on them.
    """
    with megbuild_training.network(job) as made, lines.noted(job.folder / job.settings["root"]):
        network = megengine.traced_module.trace_module(made.module, *made.example)
    traced.settle(network, made.inputs, job.declared_results)
    stable.write_json(job.output("operations"), lines.operations(network))
    megengine.save(network, str(job.output("artifact")))


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of a .tm."""
    return traced.describe(tm_file.load(paths[0]))


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the .tm in MegEngine: this is the reference of every other runtime."""
    network = tm_file.load(paths[0], job)
    megbuild_training.stop_observing(network)
    traced.settle(network, job.declared_inputs, job.declared_results)  # a delivered .tm may have other names
    order, results = traced.input_names(network), traced.result_names(network)
    for feed in feeds:
        given = network(*(megengine.Tensor(feed[name]) for name in order))
        yield {name: np.asarray(tensor.numpy()) for name, tensor in zip(results, traced.flat_results(given))}


def runtime() -> str:
    """The runtime and its version."""
    return f"MegEngine {megengine.__version__}"
