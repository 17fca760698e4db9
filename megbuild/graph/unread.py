"""Declared inputs that no action reads: a change of one builds the model again for nothing, or it was meant to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from megbuild.declare.hints import quoted
from megbuild.declare.inputs import Declared
from megbuild.declare.models import Model
from megbuild.declare.positions import Place
from megbuild.errors import Problem, Where
from megbuild.graph.actions import CORE, Action, Leaf
from megbuild.graph.draft import WEIGHTS

Told = Callable[[str], tuple[str, ...] | None]
"""The staged inputs that an action did not open, by its id; None where that is not known."""


def unread(
    model: Model, entries: Iterable[Declared], actions: Iterable[Action], told: Told, *, whole: bool
) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """What is declared and never read (MB416), and the actions of which it would have to be known and is not.

    :param actions: those of the model that were asked about.
    :param whole: whether they are all that the model has: only then nobody takes what none of them takes.
    """
    reads = [
        _Reads(action, told(action.id))
        for action in actions
        if action.model == model.label and action.toolchain != CORE
    ]
    problems: list[Problem] = []
    unknown: dict[str, None] = {}
    for entry in entries:
        staged = {_staged(entry.key, path) for path in entry.paths}
        takers = [read for read in reads if read.given & staged]
        if not takers and whole:
            problems.append(_untaken(model, entry))
        elif takers and not any(read.opened & staged for read in takers):
            missing = [read.id for read in takers if not read.known]
            unknown.update(dict.fromkeys(missing))
            problems += [] if missing else [_declared(model, entry)]
    for path, (where, takers) in _code(model, reads).items():
        if not any(path in read.opened for read in takers):
            missing = [read.id for read in takers if not read.known]
            unknown.update(dict.fromkeys(missing))
            problems += [] if missing else [_imported(model, path, where)]
    return tuple(problems), tuple(unknown)


class _Reads:
    """What one action was given of the user's files, and what it opened of that."""

    def __init__(self, action: Action, left: tuple[str, ...] | None) -> None:
        leaves = [entry for entry in action.inputs if isinstance(entry, Leaf) and entry.kind == "file"]
        self.id, self.trains, self.known = action.id, action.makes == WEIGHTS, left is not None
        self.given = {leaf.path for leaf in leaves}
        self.code = {leaf.path: leaf.said for leaf in leaves if leaf.seen}
        self.opened = self.given - set(left) if left is not None else set()


def _staged(key: str, path: str) -> str:
    """Where actions find a declared file."""
    return "in/labels.npy" if key == "labels" else f"in/{'source' if key == 'data' else key}/{path}"


def _code(model: Model, reads: Sequence[_Reads]) -> Mapping[str, tuple[Where | None, list[_Reads]]]:
    """The modules of the training code by their staged path: where the code that imports them is declared, who gets them."""
    found: dict[str, tuple[Where | None, list[_Reads]]] = {}
    for read in reads:
        for path in read.code:
            found.setdefault(path, (_place(model, "train" if read.trains else "source"), []))[1].append(read)
    return found


def _place(model: Model, key: str) -> Where | None:
    return model.where.key_of(key) if isinstance(model.where, Place) else model.where


def _declared(model: Model, entry: Declared) -> Problem:
    many = f"none of its {len(entry.paths)} files is ever read" if len(entry.paths) > 1 else "it is never read"
    hint = f"leave it out: a change of it builds {model.label} again for nothing"
    return Problem("MB416", f"{entry.key} {quoted(entry.text)} of {model.label}: {many}", hint, entry.where)


def _untaken(model: Model, entry: Declared) -> Problem:
    message = f"{entry.key} {quoted(entry.text)} of {model.label}: no output of it needs this"
    return Problem("MB416", message, "leave it out, or declare the output that it is for", entry.where)


def _imported(model: Model, path: str, where: Where | None) -> Problem:
    message = f"{path.removeprefix('in/source/')}, which the code of {model.label} imports, is never read"
    return Problem("MB416", message, "remove the import: a change of it may train or build again for nothing", where)


def unknown_problems(ids: Iterable[str], stale: Iterable[str], label: str) -> Iterator[Problem]:
    """One sentence for each action of which nothing is known."""
    waiting = set(stale)
    for id in ids:
        if id in waiting:
            yield Problem("MB417", f"what {id} reads is not known: it is not up to date", f"doit build {label}")
        else:
            message = f"what {id} reads is not known: nobody watched when its result was made"
            yield Problem("MB417", message, f"doit forget {label}, then doit build {label}")
