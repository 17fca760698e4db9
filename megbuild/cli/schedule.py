"""doit as the scheduler: the stale actions become tasks, and only they do.

Whether a task has something to do is decided by :class:`megbuild.execute.builder.Builder` when its inputs are there;
doit's own database is not used, because it forgets what finished when a build is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doit.action import BaseAction
from doit.control import TaskControl
from doit.exceptions import TaskFailed
from doit.runner import MThreadRunner, Runner
from doit.task import Task

from megbuild.execute.builder import Builder
from megbuild.execute.failure import ActionFailed
from megbuild.graph.analyse import Graph
from megbuild.graph.plan import Planned


class _Ensure(BaseAction):  # type: ignore[misc]
    """The one action of a task: the result of a megbuild action exists afterwards."""

    def __init__(self, id: str, builder: Builder, failed: dict[str, ActionFailed]) -> None:
        self.task = None
        self.id, self.builder, self.failed = id, builder, failed
        self.out = self.err = None
        self.result = None
        self.values: dict[str, Any] = {}

    def execute(self, out: object = None, err: object = None) -> TaskFailed | None:
        """Called by doit in one of its threads."""
        try:
            self.builder.ensure(self.id)
        except ActionFailed as failure:
            self.failed[failure.action] = failure
            return TaskFailed(str(failure))
        return None


class _Always:
    """What doit asks its database: every task is to be looked at, and nothing is kept."""

    class _Run:
        status = "run"

    def get_status(self, task: Task, tasks: Mapping[str, Task]) -> _Run:
        return self._Run()

    def status_is_ignore(self, task: Task) -> bool:
        return False

    def get_values(self, name: str) -> dict[str, Any]:
        return {}

    def save_success(self, task: Task) -> None:
        return None

    def remove_success(self, task: Task) -> None:
        return None

    def close(self) -> None:
        return None


class _Silent:
    """megbuild's own listener tells of progress; doit's reporter has nothing to add but its internal errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def runtime_error(self, message: str) -> None:
        self.errors.append(message)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: None


class Scheduler:
    """Runs stale actions with ``jobs`` at a time; with ``keep_going`` an independent one still runs after a failure."""

    def __init__(self, jobs: int, keep_going: bool) -> None:
        self.jobs = jobs
        self.keep_going = keep_going

    def __call__(self, stale: Mapping[str, Planned], graph: Graph, builder: Builder) -> Mapping[str, ActionFailed]:
        """See :data:`megbuild.pipeline.Schedule`.

        :raises KeyboardInterrupt: after every running action has been ended.
        """
        failed: dict[str, ActionFailed] = {}
        if not stale:
            return failed
        control = TaskControl([_task(id, stale, graph, builder, failed) for id in graph.actions if id in stale])
        control.process(list(stale))
        reporter = _Silent()
        common = (_Always(), reporter, self.keep_going)
        runner = Runner(*common) if self.jobs < 2 else MThreadRunner(*common, num_process=self.jobs)
        try:
            runner.run_all(control.task_dispatcher())
        except BaseException:  # Ctrl-C, and whatever else would leave running actions behind
            builder.runner.stop()
            raise
        if reporter.errors:
            raise RuntimeError("; ".join(reporter.errors))
        return failed


def _task(
    id: str, stale: Mapping[str, Planned], graph: Graph, builder: Builder, failed: dict[str, ActionFailed]
) -> Task:
    before = sorted({product.action for product in graph.actions[id].products if product.action in stale})
    return Task(id, [_Ensure(id, builder, failed)], task_dep=before)
