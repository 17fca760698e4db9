"""Making an artifact, and holding it against the declaration."""

from __future__ import annotations

from types import ModuleType

from . import batch, contract, stable
from .job import Job


def do(worker: ModuleType, job: Job) -> None:
    """Calls the worker's function, then reads inputs and results back from what it made and records them as ``io``.

    Where nothing can read the format back, ``describe`` gives None and the record is of what was declared, and says so.
    """
    made = batch.declared(job)
    getattr(worker, job.function)(job)
    if "io" not in job.outputs:
        return
    described = worker.describe(job.outputs["artifact"])
    if described is None:
        declared = {"inputs": list(made.declared_inputs), "results": list(made.declared_results)}
        stable.write_json(job.output("io"), {**contract.record(declared), "read_back": False})
        return
    contract.check(described, made.declared_inputs, made.declared_results, job.outputs["artifact"][0].name)
    stable.write_json(job.output("io"), contract.record(described))
