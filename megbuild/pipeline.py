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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from megbuild.declare import secrets
from megbuild.declare.labels import Pattern, Selected, label_of, select
from megbuild.declare.load import here, load
from megbuild.declare.models import Toolchain, Workspace
from megbuild.declare.toolchains import with_environment
from megbuild.declare.workspace import find
from megbuild.errors import MegbuildError, Problem
from megbuild.execute.memory import Memory
from megbuild.graph.analyse import Graph, analyse
from megbuild.graph.check import check, without_sdk
from megbuild.graph.code import Code
from megbuild.graph.plan import Planned, plan, stale
from megbuild.graph.resolve import Step, Target, declared_actions, resolve, resolve_form
from megbuild.graph.stale import Verb
from megbuild.store.files import Files
from megbuild.store.lock import using
from megbuild.store.noop import Looked, Note, stands
from megbuild.store.places import cache_folder, private_folder
from megbuild.store.recovery import entering
from megbuild.store.roots import register
from megbuild.store.state import NO_REST, Rest

if TYPE_CHECKING:  # a plan needs none of these: who executes and records imports them
    from megbuild.execute.builder import Builder, Done, Listener
    from megbuild.execute.failure import ActionFailed
    from megbuild.execute.local import Local
    from megbuild.execute.record import UpToDate
    from megbuild.execute.report import Row

_HERE = Path(__file__).parent
CODE = Code(
    worker=str(_HERE / "worker"),
    core=tuple(
        str(_HERE / name)
        for name in ("verify/judge.py", "verify/verdict.py", "execute/delivered.py", "worker/pickles.py")
    ),
)
"""megbuild's own code that results depend on: a change of it is a change of the key."""

Schedule = Callable[[Mapping[str, Planned], Graph, "Builder"], Mapping[str, "ActionFailed"]]
"""Runs the stale actions by ``Builder.ensure``, each after those it needs; gives those that failed."""


class Asked(Struct, frozen=True):
    """What the user asked for: label patterns, and the folder they stand in.

    ``looked`` is what the fast path found to have moved since all of it was up to date: when that matters to some
    models only, the others are not even loaded.
    """

    patterns: tuple[str, ...]
    start: Path
    looked: Looked | None = None
    require_sandbox: bool = False
    """Whether actions may only run in a complete box."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of every action: the reproducibility check varies what tools choose by them."""
    keep_going: bool = False
    """Whether outputs whose SDK is missing are left out, instead of refusing all of it."""
    form: str = ""
    """A format that is wanted of every model that the patterns select, in place of its outputs."""

    @property
    def selection(self) -> str:
        """The text that stands for it in the notes of what is up to date."""
        return "\0".join((str(self.start), *self.patterns, *([f"={self.form}"] if self.form else [])))


class Prepared(Struct, frozen=True):
    """A build up to its plan: nothing has run yet."""

    workspace: Workspace
    graph: Graph
    planned: tuple[Planned, ...]
    memory: Memory
    note: Note | None = None
    """The note that the other outputs which were asked for are up to date by; None when there are no others."""
    left_out: tuple[Problem, ...] = ()
    """The SDKs that are missing, with the outputs that are left out for that."""

    @property
    def others(self) -> int:
        """How many outputs that were asked for are known to be up to date without a look at them."""
        return self.note.outputs - len(self.graph.aims) if self.note else 0

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return Path(self.workspace.root)


class Report(Struct, frozen=True):
    """A finished build: a row per label, what failed, and how long it took in seconds."""

    rows: tuple[Row, ...]
    failed: tuple[ActionFailed, ...]
    seconds: float
    moved: tuple[str, ...] = ()
    """Files that changed while the build ran."""
    others: int = 0
    """Outputs without a row: nothing that they depend on has changed."""
    left_out: tuple[Problem, ...] = ()
    """The SDKs that are missing; the outputs that need them have no row either."""


def prepare(asked: Asked, warn: Callable[[str], None]) -> Prepared:
    """Everything that can be known before the first action starts: load, resolve, analyse, check, plan."""
    note, models = _narrowed(asked)
    workspace = _with_variables(load(asked.start, asked.patterns, models), asked.variables)
    memory = Memory(Path(workspace.root), cache_folder(), warn)
    for path in workspace.read:
        memory.files.watch(_inside(path, workspace.root))  # from here on a change of what was read is noticed
    for path in workspace.listed:
        memory.files.watch_folder(_inside(path, workspace.root))
    for path in asked.looked.folders() if note and asked.looked else ():
        memory.files.watch_folder(path)
    selected = _selected(workspace, asked, models)
    targets = resolve_form(workspace, selected, asked.form) if asked.form else resolve(workspace, selected)
    known = {t.model.label: t.model for t in targets}.values()
    targets = _with_commitments(targets, Path(workspace.root))
    targets, left_out = _available(workspace, targets, asked.keep_going)
    graph = analyse(
        workspace, targets, _environments(workspace, targets, memory.files), memory.files, CODE, memory.state.code
    )
    check(graph)
    for path in (path for toolchain in _used(graph) for sdk in toolchain.sdks for path in sdk.read):
        if Path(path).is_dir():
            memory.files.listed(path)
        else:
            memory.files.watch(path)
    memory.declared = frozenset(graph.actions) | declared_actions(workspace, known)
    planned = plan(graph, lambda id: memory.known(graph.actions[id]))
    return Prepared(workspace, graph, planned, memory, note, left_out)


def _available(
    workspace: Workspace, targets: tuple[Target, ...], keep_going: bool
) -> tuple[tuple[Target, ...], tuple[Problem, ...]]:
    """The targets whose SDKs are on this machine, and what is missing for the others."""
    waiting, missing = without_sdk(targets, workspace.toolchains)
    rest = tuple(target for target in targets if target.label not in waiting)
    if missing and not (keep_going and rest):
        raise MegbuildError(missing)
    return rest, missing


def _with_commitments(targets: Iterable[Target], root: Path) -> tuple[Target, ...]:
    """The targets with a commitment in place of every option that names a key: from here on nothing else is known of it."""
    found: list[Target] = []
    problems: list[Problem] = []
    for target in targets:
        try:
            found.append(replace(target, road=tuple(_committed(step, target, root) for step in target.road)))
        except MegbuildError as error:
            problems += error.problems
    if problems:
        raise MegbuildError(tuple(problems))
    return tuple(found)


def _committed(step: Step, target: Target, root: Path) -> Step:
    named = {name: str(dict(step.options)[name]) for name in step.rule.rule.secrets if dict(step.options)[name]}
    if not named:
        return step
    places = {name: target.output.places.get(name, target.output.where) for name in named}
    known = {name: secrets.commitment(secrets.key_of(named[name], root, places[name])) for name in named}
    options = tuple((name, known.get(name, value)) for name, value in step.options)
    return replace(step, options=options, secrets=tuple(named.items()))


def _narrowed(asked: Asked) -> tuple[Note | None, set[str] | None]:
    """The note to go by and the models that it leaves to be looked at; None twice when all have to be."""
    looked = asked.looked
    root = find(asked.start)
    if looked is None or looked.unchanged or not stands(root, looked.note):
        return None, None
    models = looked.models(Files(Path(root)).declares)
    return (None, None) if models is None else (looked.note, models)


def _environments(workspace: Workspace, targets: Sequence[Target], files: Files) -> dict[str, Toolchain]:
    for lock in {target.model.environment for target in targets} - {""}:
        files.watch(lock)
    return environments(workspace, [target.model.environment for target in targets])


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
    return "." if path == root else path.removeprefix(root.rstrip("/") + "/")


def build(asked: Asked, listener: Listener, schedule: Schedule) -> Report:
    """Make what was asked for, and only what is stale of it."""
    from megbuild.execute.record import record
    from megbuild.execute.report import rows

    begun = time.monotonic()
    root = Path(find(asked.start))
    with entering(root, cache_folder(), listener.note), cached(root, listener.note):
        prepared = prepare(asked, listener.note)
        todo = stale(prepared.planned)
        builder = _builder(prepared, todo, listener, asked.require_sandbox)
        try:
            failed = schedule(todo, prepared.graph, builder)
        finally:
            builder.runner.stop()
        _withdraw(asked, prepared, listener.note)
        done = {**_kept(prepared), **builder.done}
        complete = all(aim.label in done for aim in prepared.graph.aims) and not builder.remade
        complete = complete and not prepared.left_out and not _uses_keys(prepared.graph)
        upshot = _upshot(asked, prepared) if complete else None
        narrowed = asked.selection if prepared.note else None
        moved = record(prepared.memory, prepared.planned, builder.done, upshot, narrowed)
        table = rows(prepared.graph, done, failed, prepared.memory)
    return Report(table, tuple(failed.values()), time.monotonic() - begun, moved, prepared.others, prepared.left_out)


def forget(asked: Asked, say: Callable[[str], None], ids: Collection[str] | None = None) -> Prepared:
    """Forget that what was asked for was done, so that the next build makes it again; ``ids`` are some of its actions."""
    root = Path(find(asked.start))
    with entering(root, cache_folder(), say), cached(root, say):
        prepared = prepare(asked, say)
        graph, memory = prepared.graph, prepared.memory
        every = (action.id for aim in graph.aims for action in graph.closure(aim.label))
        for id in every if ids is None else ids:
            memory.forget(id)
        memory.state.forget_selections()
        memory.state.save()
    return prepared


@contextmanager
def cached(root: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Use the user's cache for a workspace: nothing is removed from it meanwhile, and what it needs is known there."""
    cache = cache_folder()
    lock = using(cache, say)
    try:
        if lock:
            register(cache, root)
        yield
    finally:
        if lock:
            lock.release()


def _withdraw(asked: Asked, prepared: Prepared, say: Callable[[str], None]) -> None:
    """Outputs that were asked for and are not declared any more go; a narrowed build follows no change of declarations."""
    from megbuild.execute.withdraw import withdraw

    if prepared.note:
        return
    declared = {str(label_of(model, output)) for model in prepared.workspace.models for output in model.outputs}
    withdraw(prepared.memory, declared, _patterns(prepared.workspace, asked), say)


def _uses_keys(graph: Graph) -> bool:
    """Whether results depend on a key: a note can hold nothing of it, so none can vouch for them."""
    return any(action.secrets for action in graph.actions.values())


def _used(graph: Graph) -> tuple[Toolchain, ...]:
    """The toolchains that actions of the graph run in."""
    names = {action.toolchain for action in graph.actions.values()}
    return tuple(graph.toolchains[name] for name in sorted(names & graph.toolchains.keys()))


def _kept(prepared: Prepared) -> dict[str, Done]:
    """The actions that the plan found to be up to date: there was nothing to do for them."""
    from megbuild.execute.builder import Done

    kept = (step for step in prepared.planned if step.decision.verb is Verb.KEEP)
    actions, memory = prepared.graph.actions, prepared.memory
    return {step.id: Done(actions[step.id], Verb.KEEP, (), memory.last_outputs(step.id), 0.0) for step in kept}


def _upshot(asked: Asked, prepared: Prepared) -> UpToDate:
    from megbuild.execute.record import UpToDate

    outputs = len(prepared.graph.aims) + prepared.others
    models = {aim.target.model.label for aim in prepared.graph.aims}
    rest = Rest.of(prepared.note, models) if prepared.note else NO_REST
    used = [sdk for toolchain in _used(prepared.graph) for sdk in toolchain.sdks]
    variables = {name: os.environ.get(name) for sdk in used for name in sdk.variables}
    variables = {**prepared.note.environment, **variables} if prepared.note else variables
    return UpToDate(
        asked.selection, f"everything is up to date: {outputs} outputs, nothing to run", outputs, rest, variables
    )


def _builder(
    prepared: Prepared, todo: Mapping[str, Planned], listener: Listener, require_sandbox: bool = False
) -> Builder:
    from megbuild.execute.builder import Builder
    from megbuild.execute.delivered import delivered
    from megbuild.execute.publish import Publisher
    from megbuild.verify.verdict import verdict

    graph, memory = prepared.graph, prepared.memory
    local = runner(prepared, todo, listener.note, require_sandbox)
    publisher = Publisher({aim.label: aim for aim in graph.aims if aim.target.declared}, memory)
    core = {"verdict": verdict, "delivered": delivered}  # the steps that the core computes itself
    return Builder(graph, memory, local, core, publisher, listener)


def runner(prepared: Prepared, todo: Iterable[str], say: Callable[[str], None], require_sandbox: bool = False) -> Local:
    """What runs the actions of a build. ``todo`` are those that will run: it gets ready for them."""
    from megbuild.execute.local import Local

    graph = prepared.graph
    return Local(
        prepared.root, private_folder(prepared.root), cache_folder(), prepared.memory.content, graph.toolchains, say,
        require_sandbox, [graph.actions[id] for id in todo if id in graph.actions and graph.actions[id].toolchain],
    )  # fmt: skip


def _selected(workspace: Workspace, asked: Asked, models: set[str] | None) -> Sequence[Selected]:
    patterns, folder = _asked_in(workspace, asked)
    if models is not None:  # the patterns have meant something, and may mean none of these
        parsed = _patterns(workspace, asked)
        every = ((model, output) for model in workspace.models for output in model.outputs)
        return [pair for pair in every if any(pattern.matches(label_of(*pair)) for pattern in parsed)]
    try:
        return select(patterns, workspace.models, folder)
    except MegbuildError:  # what might have been meant is told from all that there is
        return select(patterns, load(asked.start).models, folder)


def _asked_in(workspace: Workspace, asked: Asked) -> tuple[tuple[str, ...], str]:
    """The patterns asked for, or the workspace's default, and the package folder that they stand in."""
    return (asked.patterns, here(workspace.root, asked.start)) if asked.patterns else (workspace.default, "")


def _patterns(workspace: Workspace, asked: Asked) -> list[Pattern]:
    patterns, folder = _asked_in(workspace, asked)
    return [Pattern.parse(pattern, folder) for pattern in patterns]


def environments(workspace: Workspace, locks: Sequence[str]) -> dict[str, Toolchain]:
    """MegEngine's toolchain with each training environment that the models name."""
    base = workspace.toolchains.get("megengine")
    return {lock: with_environment(base, Path(workspace.root, lock)) for lock in sorted(set(locks)) if lock and base}
