"""A build from beginning to end: read this first.

``load -> resolve -> analyse -> check -> plan -> execute -> record``

Each stage is one module with one public function over frozen data. Only load, execute and record touch the disk; the
stages between them see it through one frozen view, :class:`megbuild.store.files.Files`.

===========  ==========================================================================================
load         MODELS.toml, hardware, rules and toolchains become one checked :class:`Workspace`
resolve      the labels asked for become targets, each with its road through the conversion graph
analyse      roads become actions; outputs that share a step share its action
check        what cannot end well is refused before anything runs
plan         every action is kept, restored, run, or waits for another one; each with its reasons
execute      the stale actions run, in the order that ``schedule`` gives them
record       what was done is remembered, and told as one row per label
===========  ==========================================================================================
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from megbuild.declare.labels import Selected, select
from megbuild.declare.load import here, load
from megbuild.declare.models import Toolchain, Workspace
from megbuild.declare.toolchains import with_environment
from megbuild.declare.workspace import find
from megbuild.execute.builder import Builder, Done, Listener
from megbuild.execute.delivered import delivered
from megbuild.execute.failure import ActionFailed
from megbuild.execute.local import Local
from megbuild.execute.memory import Memory
from megbuild.execute.publish import Publisher
from megbuild.execute.record import record
from megbuild.execute.report import Row, rows
from megbuild.graph.analyse import Graph, analyse
from megbuild.graph.check import check
from megbuild.graph.code import Code
from megbuild.graph.plan import Planned, plan, stale
from megbuild.graph.resolve import declared_actions, resolve
from megbuild.graph.stale import Verb
from megbuild.store.lock import acquire
from megbuild.store.places import cache_folder, private_folder
from megbuild.verify.verdict import verdict

_HERE = Path(__file__).parent
CODE = Code(
    worker=str(_HERE / "worker"),
    core=tuple(str(_HERE / name) for name in ("verify/judge.py", "verify/verdict.py", "execute/delivered.py")),
)
"""megbuild's own code that results depend on: a change of it is a change of the key."""
CORE = {"verdict": verdict, "delivered": delivered}
"""The steps that the core computes itself."""

Schedule = Callable[[Mapping[str, Planned], Graph, Builder], Mapping[str, ActionFailed]]
"""Runs the stale actions by ``Builder.ensure``, each after those it needs; gives those that failed."""


@dataclass(frozen=True)
class Asked:
    """What the user asked for: label patterns, and the folder they stand in."""

    patterns: tuple[str, ...]
    start: Path
    require_sandbox: bool = False
    """Whether actions may only run in a complete box."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of every action: the reproducibility check varies what tools choose by them."""


@dataclass(frozen=True)
class Prepared:
    """A build up to its plan: nothing has run yet."""

    workspace: Workspace
    graph: Graph
    planned: tuple[Planned, ...]
    memory: Memory

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return Path(self.workspace.root)

    def forget(self, ids: Iterable[str]) -> None:
        """Forget that actions were done, so that the next build makes their results again."""
        for id in ids:
            self.memory.forget(id)
        self.memory.state.forget_selections()
        self.memory.state.save()


@dataclass(frozen=True)
class Report:
    """A finished build: a row per label, what failed, and how long it took in seconds."""

    rows: tuple[Row, ...]
    failed: tuple[ActionFailed, ...]
    seconds: float
    moved: tuple[str, ...] = ()
    """Files that changed while the build ran."""


def prepare(asked: Asked, warn: Callable[[str], None]) -> Prepared:
    """Everything that can be known before the first action starts: load, resolve, analyse, check, plan."""
    workspace = _with_variables(load(asked.start), asked.variables)
    memory = Memory(Path(workspace.root), cache_folder(), warn)
    for path in workspace.read:
        memory.files.watch(_inside(path, workspace.root))  # from here on a change of what was read is noticed
    targets = resolve(workspace, _selected(workspace, asked))
    graph = analyse(
        workspace, targets, environments(workspace, [t.model.environment for t in targets]), memory.files, CODE
    )
    check(graph)
    memory.declared = frozenset(graph.actions) | declared_actions(
        workspace, {t.model.label: t.model for t in targets}.values()
    )
    planned = plan(graph, lambda id: memory.known(graph.actions[id]))
    return Prepared(workspace, graph, planned, memory)


def _with_variables(workspace: Workspace, variables: Mapping[str, str]) -> Workspace:
    if not variables:
        return workspace
    varied = {
        name: replace(toolchain, environment={**toolchain.environment, **variables})
        for name, toolchain in workspace.toolchains.items()
    }
    return replace(workspace, toolchains=varied)


def _inside(path: str, root: str) -> str:
    """A path as it is told: relative to the workspace when it lies there."""
    return os.path.relpath(path, root) if Path(path).is_relative_to(root) else path


def build(asked: Asked, listener: Listener, schedule: Schedule) -> Report:
    """Make what was asked for, and only what is stale of it."""
    begun = time.monotonic()
    with acquire(private_folder(Path(find(asked.start))), listener.note):
        prepared = prepare(asked, listener.note)
        todo = stale(prepared.planned)
        builder = _builder(prepared, todo, listener, asked.require_sandbox)
        try:
            failed = schedule(todo, prepared.graph, builder)
        finally:
            builder.runner.stop()
        done = {**_kept(prepared), **builder.done}
        complete = all(aim.label in done for aim in prepared.graph.aims) and not builder.remade
        moved = record(prepared.memory, prepared.planned, builder.done, complete, selection(asked), _summary(prepared))
        table = rows(prepared.graph, done, failed, prepared.memory)
    return Report(table, tuple(failed.values()), time.monotonic() - begun, moved)


def _kept(prepared: Prepared) -> dict[str, Done]:
    """The actions that the plan found to be up to date: there was nothing to do for them."""
    kept = (step for step in prepared.planned if step.decision.verb is Verb.KEEP)
    actions, memory = prepared.graph.actions, prepared.memory
    return {step.id: Done(actions[step.id], Verb.KEEP, (), memory.last_outputs(step.id), 0.0) for step in kept}


def selection(asked: Asked) -> str:
    """The text that stands for what was asked, in the notes of what is up to date."""
    return "\0".join((str(asked.start), *asked.patterns))


def _summary(prepared: Prepared) -> str:
    return f"everything is up to date: {len(prepared.graph.aims)} outputs, nothing to run"


def _builder(
    prepared: Prepared, todo: Mapping[str, Planned], listener: Listener, require_sandbox: bool = False
) -> Builder:
    graph, memory = prepared.graph, prepared.memory
    local = runner(prepared, todo, listener.note, require_sandbox)
    publisher = Publisher({aim.label: aim for aim in graph.aims}, memory)
    return Builder(graph, memory, local, CORE, publisher, listener)


def runner(prepared: Prepared, todo: Iterable[str], say: Callable[[str], None], require_sandbox: bool = False) -> Local:
    """What runs the actions of a build. ``todo`` are those that will run: it gets ready for them."""
    graph = prepared.graph
    return Local(
        prepared.root, private_folder(prepared.root), cache_folder(), prepared.memory.content, graph.toolchains, say,
        require_sandbox, [graph.actions[id] for id in todo if id in graph.actions and graph.actions[id].toolchain],
    )  # fmt: skip


def _selected(workspace: Workspace, asked: Asked) -> Sequence[Selected]:
    if not asked.patterns:
        return select(workspace.default, workspace.models)
    return select(asked.patterns, workspace.models, here(workspace.root, asked.start))


def environments(workspace: Workspace, locks: Sequence[str]) -> dict[str, Toolchain]:
    """MegEngine's toolchain with each training environment that the models name."""
    base = workspace.toolchains.get("megengine")
    return {lock: with_environment(base, Path(workspace.root, lock)) for lock in sorted(set(locks)) if lock and base}
