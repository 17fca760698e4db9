"""A build from beginning to end: read this first.

``load -> resolve -> analyse -> plan -> check -> execute -> record``

Each stage is one module with one public function over frozen data. Only load, execute and record touch the disk; the
stages between them see it through one frozen view, :class:`megbuild.store.files.Files`.

===========  ==========================================================================================
load         MODELS.toml, hardware, rules and toolchains become one checked :class:`Workspace`
resolve      the labels asked for become targets, each with its road through the conversion graph
analyse      roads become actions; outputs that share a step share its action
plan         every action is kept, restored, run, or waits for another one; each with its reasons
check        what cannot end well is refused before anything runs
execute      the stale actions run, in the order that ``schedule`` gives them
record       what was done is remembered, and told as one row per label
===========  ==========================================================================================

:func:`prepare` is the way up to the plan, :func:`build` all of it. From analyse on they go in slices of some models each
(``prepared.py``), so that memory hardly grows with the workspace. ``asked.py`` says what is built, ``kept.py`` when nothing
has to be loaded for it, ``execution.py`` what becomes of a slice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from megbuild.declare.models import Toolchain, Workspace
from megbuild.declare.root import find
from megbuild.errors import MegbuildError, Problem
from megbuild.execute.memory import Memory
from megbuild.graph.actions import CORE, Action
from megbuild.graph.analyse import analyse
from megbuild.graph.check import check, without_sdk
from megbuild.graph.code import Code
from megbuild.graph.commitments import committed
from megbuild.graph.plan import plan
from megbuild.graph.resolve import Target, Targets, declared_actions, resolve, resolve_form
from megbuild.pipeline.asked import Asked, environments, loaded, narrowed, selected
from megbuild.pipeline.prepared import SLICE, Prepared, Slice, Slices
from megbuild.store.files import Files
from megbuild.store.lock import using
from megbuild.store.noop import Note
from megbuild.store.places import cache_folder, private_folder
from megbuild.store.recovery import entering
from megbuild.store.roots import register

if TYPE_CHECKING:  # a plan needs none of these: who executes and records imports them
    from megbuild.execute.builder import Listener
    from megbuild.execute.failure import ActionFailed
    from megbuild.execute.report import Row
    from megbuild.pipeline.execution import Work

__all__ = ["Asked", "Prepared", "Report", "Schedule", "build", "cached", "environments", "forget", "prepare"]

_HERE = Path(__file__).parents[1]
CODE = Code(
    worker=str(_HERE / "worker"),
    core=tuple(
        str(_HERE / name)
        for name in (
            "verify/judge.py",
            "verify/verdict.py",
            "execute/delivered.py",
            "worker/pickles.py",
            "worker/onnx_wire.py",
        )
    ),
)
"""megbuild's own code that results depend on: a change of it is a change of the key."""

Schedule = Callable[[Iterable["Work"]], None]
"""Runs the stale actions of every slice by ``Builder.ensure``, each after those it needs; see :class:`Work`."""


class Report(Struct, frozen=True):
    """A finished build: a row per label, what failed, and how long it took in seconds."""

    rows: Sequence[Row]
    failed: tuple[ActionFailed, ...]
    seconds: float
    moved: tuple[str, ...] = ()
    """Files that changed while the build ran."""
    others: int = 0
    """Outputs without a row: nothing that they depend on has changed."""
    left_out: tuple[Problem, ...] = ()
    """The SDKs that are missing; the outputs that need them have no row either."""


def build(asked: Asked, listener: Listener, schedule: Schedule) -> Report:
    """Make what was asked for, and only what is stale of it."""
    from megbuild.pipeline.execution import Execution

    begun = time.monotonic()
    root = Path(find(asked.start))
    with entering(root, cache_folder(), listener.note), cached(root, listener.note):
        prepared = prepare(asked, listener.note)
        execution = Execution(prepared, listener, require_sandbox=asked.require_sandbox)
        try:
            schedule(execution.work())
        finally:
            execution.stop()
        moved = execution.end(asked)
    failed = tuple(execution.failed.values())
    return Report(execution.rows, failed, time.monotonic() - begun, moved, prepared.others, prepared.left_out)


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
        memory.save()
    return prepared


def prepare(asked: Asked, warn: Callable[[str], None]) -> Prepared:
    """Everything that can be known before the first action starts: load, resolve, analyse, plan, check."""
    known = narrowed(asked)
    workspace = loaded(asked, known.models)
    memory = Memory(Path(workspace.root), cache_folder(), warn)
    _watch_what_was_read(workspace, memory.files)
    for path in asked.looked.folders() if known.note and asked.looked else ():
        memory.files.watch_folder(path)
    wanted = selected(workspace, asked, known.models)
    targets = resolve_form(workspace, wanted, asked.form) if asked.form else resolve(workspace, wanted)
    possible, left_out = _available(workspace, committed(targets, Path(workspace.root)), asked.keep_going)
    prepared = _planned(workspace, possible, memory, known.note, left_out)
    check(possible)
    return prepared


def _planned(
    workspace: Workspace, targets: Sequence[Target], memory: Memory, note: Note | None, left_out: tuple[Problem, ...]
) -> Prepared:
    """Analyse and plan, slice by slice."""
    files = memory.files
    of_locks = _environments(workspace, targets, files)
    toolchains = {**workspace.toolchains, **{toolchain.name: toolchain for toolchain in of_locks.values()}}
    slices = Slices(targets, toolchains, private_folder(Path(workspace.root)))
    used: set[str] = set()
    first: dict[str, Action] = {}
    for graph in analyse(workspace, targets, of_locks, files, CODE, memory.state.code, SLICE):
        memory.expect(graph, lambda model: declared_actions(workspace, model))
        slice = Slice(graph, plan(graph, memory.known))
        slices.append(slice)
        used |= {action.toolchain for action in graph.actions.values()}
        for id in slice.stale:
            first.setdefault(graph.actions[id].toolchain, graph.actions[id])
        if len(slices) > 1:
            memory.put_away()
    first.pop(CORE, None)
    in_use = {name: toolchains[name] for name in sorted(used & toolchains.keys())}
    _watch_sdks(in_use.values(), files)
    return Prepared(workspace, targets, slices, memory, in_use, tuple(first.values()), note, left_out)


def _environments(workspace: Workspace, targets: Sequence[Target], files: Files) -> dict[str, Toolchain]:
    locks = {target.model.environment for target in targets} - {""}
    for lock in locks:
        files.watch(lock)
    return environments(workspace, locks)


def _available(
    workspace: Workspace, targets: Sequence[Target], keep_going: bool
) -> tuple[Sequence[Target], tuple[Problem, ...]]:
    """The targets whose SDKs are on this machine, and what is missing for the others."""
    waiting, missing = without_sdk(targets, workspace.toolchains)
    if not waiting:
        return targets, missing
    rest = targets.but(waiting) if isinstance(targets, Targets) else [t for t in targets if t.label not in waiting]
    if missing and not (keep_going and rest):
        raise MegbuildError(missing)
    return rest, missing


def _watch_what_was_read(workspace: Workspace, files: Files) -> None:
    """From here on a change of what was read is noticed; paths are told relative to the workspace where they lie in it."""
    for path in workspace.read:
        files.watch(_inside(path, workspace.root))
    for path in workspace.listed:
        files.watch_folder(_inside(path, workspace.root))


def _watch_sdks(toolchains: Iterable[Toolchain], files: Files) -> None:
    for path in (path for toolchain in toolchains for sdk in toolchain.sdks for path in sdk.read):
        if Path(path).is_dir():
            files.listed(path)
        else:
            files.watch(path)


def _inside(path: str, root: str) -> str:
    return "." if path == root else path.removeprefix(root.rstrip("/") + "/")


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
