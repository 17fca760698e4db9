"""What a request can ask for: to make an artifact, to record what is expected of it, to measure it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from . import contract, measure, samples, stable
from .job import Job, NotHere


def run(job: Job) -> None:
    """Does what the request asks for.

    ``expect`` and ``measure`` are done here with the worker's ``run``; any other function is one of the worker's own,
    which makes an artifact (``build``, ``train``).
    """
    for paths in job.outputs.values():
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
    worker = load(job.folder / job.worker)
    if job.function == "expect":
        expect(worker, job)
    elif job.function == "measure":
        try:
            measured = measure.measures(worker, job)
        except NotHere as reason:
            measured = {"not_run": str(reason)}
        stable.write_json(job.output("measures"), measured)
    else:
        make(worker, job)


def load(path: Path) -> ModuleType:
    """A rule's worker, as a package of its folder: ``from . import names`` finds the modules beside it."""
    name = "megbuild_rule_" + path.parent.name
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    assert spec and spec.loader, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def make(worker: ModuleType, job: Job) -> None:
    """Calls the worker's function, then holds what it made against the declaration and records it as ``io``.

    An artifact without inputs and results of its own (weights) has no ``io`` output.
    """
    getattr(worker, job.function)(job)
    if "io" not in job.outputs:
        return
    described = worker.describe(job.outputs["artifact"])
    contract.check(described, job.declared_inputs, job.declared_results, job.outputs["artifact"][0].name)
    stable.write_json(job.output("io"), contract.record(described))


def expect(worker: ModuleType, job: Job) -> None:
    """Writes ``<results>/<result>.npy``: what the reference gives for every sample, stacked along a new first axis."""
    import numpy

    given: dict[str, list[Any]] = {result.name: [] for result in job.declared_results}
    feeds = samples.feeds(job.declared_inputs, job.inputs.get("samples", []))
    for results in worker.run(job.inputs["artifact"], feeds, job):
        for name, arrays in given.items():
            arrays.append(results[name])
    folder = job.output("results")
    folder.mkdir(exist_ok=True)
    for name, arrays in given.items():
        numpy.save(folder / f"{name}.npy", numpy.stack(arrays), allow_pickle=False)

