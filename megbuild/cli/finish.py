"""A build whose results are read afterwards: what is handed over must be in the store, not only in ``out/``."""

from __future__ import annotations

from megbuild.pipeline import Asked, Report
from megbuild.release.artifacts import Finished


def finish(asked: Asked, jobs: int) -> tuple[Finished, Report]:
    """Build as far as it goes. What the store has lost of the results is made again first.

    :param jobs: actions at a time; 0: one per core.
    """
    from megbuild.cli import progress
    from megbuild.cli.schedule import Scheduler
    from megbuild.execute.turns import Machine
    from megbuild.pipeline import build, forget, prepare

    listener = progress.listener()
    with listener:
        report = build(asked, listener, Scheduler(Machine.here(jobs, 0), True))
        prepared = prepare(asked, listener.note)
        finished = Finished(prepared.graph, prepared.planned, prepared.memory)
        if lost := finished.lost(listener.note):
            forget(asked, listener.note, lost)
            report = build(asked, listener, Scheduler(Machine.here(jobs, 0), True))
            prepared = prepare(asked, listener.note)
            finished = Finished(prepared.graph, prepared.planned, prepared.memory)
    return finished, report
