"""Runs the user's training. Apart from the tracing, so that a change of that does not train networks again."""

from __future__ import annotations

import megengine.random
import tm_file

from megbuild_worker import entry
from megbuild_worker.job import Job, Refusal

SEED = 0
"""Training code that seeds nothing still gives the same weights every time."""


def train(job: Job) -> None:
    """Calls ``train(path)`` of the user's code, which writes the weights to the path."""
    path = job.output("artifact")
    megengine.random.seed(SEED)
    with entry.function(job) as function, tm_file.guarded(entry.own(job), job.settings.get("trusted", {})):
        function(str(path))
    if not path.is_file():
        raise Refusal(f"{job.settings['entry']} returned without writing the weights to the path it was given")
