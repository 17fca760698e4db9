"""Wraps an NPU's blob in an .mge, and has MegEngine read that back. Runs inside the megengine toolchain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import megbuild_mge
from megbuild_worker import batch
from megbuild_worker.job import Job, Refusal, Tensor

from . import loader

NAMES = {"om": "atlas", "magicmind": "magicmind"}
"""The loader's name by the format of the blob, where the model says none."""


def build(job: Job) -> None:
    """Dumps one external operator between the declared inputs and results, and checks what MegEngine reads of it."""
    import megengine
    from megengine.functional import external
    from megengine.jit import trace

    ((form, (path,)),) = job.inputs.items()
    name = job.options.loader or NAMES[form]
    blob = path.read_bytes()
    declared = batch.declared(job)
    inputs = declared.declared_inputs
    results = [replace(tensor, dtype=tensor.dtype or "float32") for tensor in declared.declared_results]
    _refuse_types([*inputs, *results])

    # Not run while it is traced: nothing here could run it.
    @trace(record_only=True, capture_as_const=True)
    def graph(*tensors: Any) -> list[Any]:
        shapes, types = [tensor.shape for tensor in results], [np.dtype(tensor.dtype).type for tensor in results]
        return list(external.extern_opr_subgraph(tensors, shapes, name, blob, types))

    graph(*(megengine.Tensor(np.zeros(tensor.shape, tensor.dtype)) for tensor in inputs))
    made = job.output("artifact")
    names = [tensor.name for tensor in results]
    graph.dump(str(made), arg_names=[tensor.name for tensor in inputs], output_names=names)
    _read_back(made, name, blob, inputs, results)


def _refuse_types(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        if tensor.dtype not in loader.TYPES:
            raise Refusal(f'"{tensor.name}" is {tensor.dtype}; an external operator takes {", ".join(loader.TYPES)}')


def _read_back(made: Path, name: str, blob: bytes, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Loads the file as a program on the device does; the operator must be given the blob, and its inputs and results be the declared ones."""
    with loader.registered(name, results) as seen:
        found = megbuild_mge.describe([made])
    if set(seen) != {(len(inputs), blob)}:
        raise Refusal("the operator in the .mge was not given the blob that was embedded")
    wanted = {"inputs": inputs, "results": results}
    for kind, tensors in wanted.items():
        told = [(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors]
        if [(tensor.name, tensor.shape, tensor.dtype) for tensor in found[kind]] != told:
            raise Refusal(f"the .mge has the {kind} {found[kind]}, declared are {told}")


def describe(paths: Sequence[Path]) -> None:
    """The shapes of results stand in no file: a loader tells them. ``build`` has read all that there is."""
