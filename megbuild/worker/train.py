"""Training: the worker's function makes the weights, which have no inputs and results of their own to be checked."""

from __future__ import annotations

from types import ModuleType

from .job import Job


def do(worker: ModuleType, job: Job) -> None:
    """Calls the worker's function. Kept apart from all else: when this code changes, networks are trained again."""
    getattr(worker, job.function)(job)
