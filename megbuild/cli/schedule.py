"""doit as the scheduler: the stale actions become tasks, and only they do.

Whether a task has something to do is decided by :class:`megbuild.execute.builder.Builder` when its inputs are there;
doit's own database is not used, because it forgets what finished when a build is killed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
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
from megbuild.graph.actions import Action
from megbuild.graph.analyse import Graph
from megbuild.graph.costs import costs, urgency
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


class _Dispatcher:
    """In place of doit's own dispatcher, whose order is a set's: hands out tasks as the machine has room for them."""

    def __init__(self, tasks: Mapping[str, Task], actions: Mapping[str, Action], turns: Turns) -> None:
        self.tasks = tasks
        self.selected_tasks = list(tasks)
        self.nodes = {name: ExecNode(task, None) for name, task in tasks.items()}
        self.generator = self._hand_out()
        self._actions = actions
        self._turns = turns
        self._waits = {name: set(task.task_dep) for name, task in tasks.items()}
        self._needed_by: dict[str, list[str]] = {name: [] for name in tasks}
        for name, needs in self._waits.items():
            for need in needs:
                self._needed_by[need].append(name)
            if not needs:
                turns.ready(actions[name])

    def _hand_out(self) -> Generator[ExecNode | str, ExecNode | None, None]:
        """doit's runner sends in each node that it has finished, and takes the next one or is asked to ``hold on``."""
        left = len(self.tasks)
        while left:
            action = self._turns.next()
            left -= action is not None
            finished = yield self.nodes[action.id] if action else "hold on"
            if finished:
                self._over(finished)

    def _over(self, node: ExecNode) -> None:
        self._turns.over(self._actions[node.task.name])
        for name in self._needed_by[node.task.name]:
            self.nodes[name].parent_status(node)  # doit does not run it when this one failed
            self._waits[name].discard(node.task.name)
            if not self._waits[name]:
                self._turns.ready(self._actions[name])


class Scheduler:
    """Runs stale actions on a machine; with ``keep_going`` an independent one still runs after a failure."""

    def __init__(self, machine: Machine, keep_going: bool) -> None:
        self.machine = machine
        self.keep_going = keep_going

    def __call__(self, stale: Mapping[str, Planned], graph: Graph, builder: Builder) -> Mapping[str, ActionFailed]:
        """See :data:`megbuild.pipeline.Schedule`.

        :raises KeyboardInterrupt: after every running action has been ended.
        """
        failed: dict[str, ActionFailed] = {}
        if not stale:
            return failed
        actions = {id: action for id, action in graph.actions.items() if id in stale}
        cost = costs(actions, builder.memory.cost)
        cores = self.machine.cores
        builder.places = Places(cores)
        at_once = cores + 1 if cores > 1 else 1  # while one is put away, all cores compute
        turns = Turns(replace(self.machine, cores=at_once), cost, urgency(actions, cost))
        tasks = {id: _task(id, stale, graph, builder, failed) for id in actions}
        reporter = _Silent()
        runner = MThreadRunner(_Always(), reporter, self.keep_going, num_process=at_once)
        try:
            runner.run_all(_Dispatcher(tasks, actions, turns))
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
