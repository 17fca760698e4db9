"""doit as the scheduler: the stale actions become tasks, and only they do.

Whether a task has something to do is decided by :class:`megbuild.execute.builder.Builder` when its inputs are there;
doit's own database is not used, because it forgets what finished when a build is killed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from doit.action import BaseAction
from doit.control import ExecNode
from doit.exceptions import TaskFailed
from doit.runner import MThreadRunner
from doit.task import Task

from megbuild.execute.builder import Builder
from megbuild.execute.failure import ActionFailed
from megbuild.execute.turns import Machine, Places, Turns
from megbuild.graph.costs import Cost, costs, urgency
from megbuild.graph.plan import Planned
from megbuild.pipeline.execution import Work


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


class _Dispatcher:
    """In place of doit's own dispatcher, whose order is a set's: hands out tasks as the machine has room for them.

    The next slice is taken before what is ready runs out, so that no core waits for the end of a slice; what has
    finished is let go.
    """

    def __init__(self, work: Iterable[Work], machine: Machine, places: Places) -> None:
        self.tasks: dict[str, Task] = {}
        self.selected_tasks: list[str] = []
        self.nodes: dict[str, ExecNode] = {}
        self.generator = self._hand_out()
        self._work = iter(work)
        self._turns = Turns(machine)
        self._few = 2 * machine.cores
        self._places = places
        self._of: dict[str, Work] = {}
        self._left: dict[int, int] = {}
        self._waits: dict[str, set[str]] = {}
        self._needed_by: dict[str, list[str]] = {}
        self._learned: dict[str, Cost] = {}

    def _hand_out(self) -> Generator[ExecNode | str, ExecNode | None, None]:
        """doit's runner sends in each node that it has finished, and takes the next one or is asked to ``hold on``."""
        more = True
        while True:
            while more and self._turns.waiting < self._few:
                more = self._take()
            if not self.tasks:
                return
            action = self._turns.next()
            finished = yield self.nodes[action.id] if action else "hold on"
            if finished:
                self._over(finished)

    def _take(self) -> bool:
        """Take in the next slice; whether there was one."""
        work = next(self._work, None)
        if work is None:
            return False
        work.builder.places = self._places
        stale = work.stale
        actions = {id: action for id, action in work.actions.items() if id in stale}
        cost = costs(actions, work.builder.memory.cost, self._learned)
        self._turns.expect(cost, urgency(actions, cost))
        self._left[work.number] = len(actions)
        for id in actions:
            self.tasks[id] = _task(id, stale, work)
            self.nodes[id] = ExecNode(self.tasks[id], None)
            self._of[id] = work
            self._waits[id] = set(self.tasks[id].task_dep)
            self._needed_by[id] = []
            for need in self._waits[id]:
                self._needed_by[need].append(id)
        for id, action in actions.items():
            if not self._waits[id]:
                self._turns.ready(action)
        if not actions:
            work.over()
        return True

    def _over(self, node: ExecNode) -> None:
        name = node.task.name
        work = self._of.pop(name)
        self._turns.over(work.actions[name])
        for other in self._needed_by.pop(name):
            self.nodes[other].parent_status(node)  # doit does not run it when this one failed
            self._waits[other].discard(name)
            if not self._waits[other]:
                self._turns.ready(work.actions[other])
        del self.tasks[name], self.nodes[name], self._waits[name]
        self._left[work.number] -= 1
        if not self._left[work.number]:
            work.over()


class Scheduler:
    """Runs stale actions on a machine; with ``keep_going`` an independent one still runs after a failure."""

    def __init__(self, machine: Machine, keep_going: bool) -> None:
        self.machine = machine
        self.keep_going = keep_going

    def __call__(self, work: Iterable[Work]) -> None:
        """See :data:`megbuild.pipeline.Schedule`.

        :raises KeyboardInterrupt: when that was asked for; what still runs is ended by who handed out the work.
        """
        reporter = _Silent()
        cores = self.machine.cores
        at_once = cores + 2 if cores > 1 else 1  # while one is prepared and one is put away, all cores compute
        runner = MThreadRunner(_Always(), reporter, self.keep_going, num_process=at_once)
        runner.run_all(_Dispatcher(work, replace(self.machine, cores=at_once), Places(cores)))
        if reporter.errors:
            raise RuntimeError("; ".join(reporter.errors))


def _task(id: str, stale: Mapping[str, Planned], work: Work) -> Task:
    before = sorted({product.action for product in work.actions[id].products if product.action in stale})
    return Task(id, [_Ensure(id, work.builder, work.failed)], task_dep=before)
