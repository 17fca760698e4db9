"""The network that the user's training code makes, ready to be traced with an example."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import megengine
import megengine.module
import megengine.random
import tm_file
from megengine.quantization.observer import Observer

from megbuild_worker import entry, samples
from megbuild_worker.job import Job, Refusal, Tensor

SEED = 0
"""A network that sets its own weights at random still gets the same ones every time."""


@dataclass(frozen=True)
class Made:
    """The module in eval mode, the declared inputs in the order in which it takes them, and a tensor for each."""

    module: megengine.module.Module
    inputs: Sequence[Tensor]
    example: Sequence[Any]


@contextmanager
def network(job: Job) -> Iterator[Made]:
    """Calls ``build()`` or ``build(weights)`` of the user's code; inside the context its modules can be imported.

    The example is the first of ``samples`` where the step reads them, else a seeded one within the declared ranges.
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
        stop_observing(module)
        inputs = _in_order_of_forward(module, job.declared_inputs)
        yield Made(module, inputs, [megengine.Tensor(example[tensor.name]) for tensor in inputs])


def stop_observing(module: megengine.module.Module) -> None:
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
