"""Runs the user's training code and traces what it makes. Runs inside the megengine toolchain."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import megengine
import megengine.module
import megengine.random
import megengine.traced_module
import numpy as np
import tm_file
from megengine.quantization.observer import Observer

from megbuild_worker import samples, stable, traced
from megbuild_worker.job import Description, Job, Refusal, Tensor

from . import entry, lines

SEED = 0
"""A network that sets its own weights at random still gets the same ones every time."""


def build(job: Job) -> None:
    """Calls ``build()`` or ``build(weights)`` of the user's code, traces the module in eval mode and saves the .tm.

    The example it is traced with is the first of ``samples`` where the step reads them, else a seeded one within the
    declared ranges. Its values are not kept in the .tm; they matter only to Python code that branches on them.
    """
    weights = [str(path) for path in job.inputs.get("weights", [])]
    example = samples.first(job.declared_inputs, job.inputs.get("samples", []))
    megengine.random.seed(SEED)
    with entry.function(job) as function, tm_file.guarded(entry.own(job), job.settings.get("trusted", {})):
        module = function(*weights)
        if not isinstance(module, megengine.module.Module):
            kind = type(module).__name__
            raise Refusal(f"{job.settings['entry']} returned a value of type {kind}, not a megengine.module.Module")
        module.eval()
        _stop_observing(module)
        inputs = _in_order_of_forward(module, job.declared_inputs)
        tensors = [megengine.Tensor(example[tensor.name]) for tensor in inputs]
        with lines.noted(job.folder / job.settings["root"]):
            network = megengine.traced_module.trace_module(module, *tensors)
    traced.settle(network, inputs, job.declared_results)
    stable.write_json(job.output("operations"), lines.operations(network))
    megengine.save(network, str(job.output("artifact")))


def _stop_observing(module: megengine.module.Module) -> None:
    """Fixes the ranges of a network trained for quantisation, which would go on to follow what it is run on."""
    for part in module.modules():
        if isinstance(part, Observer):
            part.disable()


def _in_order_of_forward(module: megengine.module.Module, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """The declared inputs in the order in which ``forward`` takes them.

    Names that are parameters of ``forward`` decide; names that are not go by position. Anything else would swap two
    inputs of one shape without a word.
    """
    signature = inspect.signature(module.forward)
    parameters = list(signature.parameters)
    names = [tensor.name for tensor in inputs]
    try:
        signature.bind(*names)
    except TypeError as error:
        raise Refusal(f"forward{signature} cannot take the declared inputs {', '.join(names)}: {error}") from error
    if set(names) == set(parameters[: len(names)]):
        return sorted(inputs, key=lambda tensor: parameters.index(tensor.name))
    for place, name in enumerate(names):
        if name in parameters and parameters.index(name) != place:
            raise Refusal(f'input "{name}" is declared as number {place + 1}, forward({", ".join(parameters)}) differs')
    return inputs


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of a .tm."""
    return traced.describe(tm_file.load(paths[0]))


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the .tm in MegEngine: this is the reference of every other runtime."""
    network = tm_file.load(paths[0], job)
    _stop_observing(network)
    traced.settle(network, job.declared_inputs, job.declared_results)  # a delivered .tm may have other names
    order, results = traced.input_names(network), traced.result_names(network)
    for feed in feeds:
        given = network(*(megengine.Tensor(feed[name]) for name in order))
        yield {name: np.asarray(tensor.numpy()) for name, tensor in zip(results, traced.flat_results(given))}


def runtime() -> str:
    """The runtime and its version."""
    return f"MegEngine {megengine.__version__}"
