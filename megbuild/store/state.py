"""The workspace's memory: what each action was built from, which files are known, what stands in ``out/``.

Everything in it can be lost without harm: records and contents are in the store, and the files are there to be read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from os import scandir
from pathlib import Path
from sys import intern
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from megbuild.store import noop
from megbuild.store.digests import Digest, Stamp
from megbuild.store.durable import placing, write_all
from megbuild.store.files import SHARED, Files, Known
from megbuild.store.journal import Journal
from megbuild.store.parts import Parts, Table, write_parts
from megbuild.store.records import Component
from megbuild.store.shelf import Shelf

_HEAD = b"megbuild state 2\n"
_SECOND = 1_000_000_000
_NOTES = 32
"""Selections that are remembered as up to date; the oldest are dropped."""
_SMALL = 4 << 20
"""Bytes up to which the state is written anew by every build that changes it; a larger one has the changes beside it."""
_PAIRS = "pairs"
_COMMON = ("code", "toolchain", "environment", "option", "declared")
"""Kinds of components that many actions have alike: they are stored once."""
_LINES = 2000
"""Lines of the journal that are in memory at a time; a large build that was killed leaves a hundred thousand."""
_LEAST = 50
"""Bytes that a changed entry takes in the journal at least."""
_MANY = 20000
"""Pairs beyond which they are gathered anew, and changes of a kind beyond which the state is written whole."""


class Built(msgspec.Struct, frozen=True, array_like=True):
    """How an action was last built: its key, what entered it, and the files below ``out/`` that it made."""

    key: str
    components: dict[str, Component]
    outputs: dict[str, Digest]


class Published(msgspec.Struct, frozen=True, array_like=True):
    """An artifact that megbuild placed in the workspace: its stamp and its SHA-256."""

    stamp: Stamp
    sha256: str


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What the last build that did something for an action did, and the reasons as the user read them."""

    verb: str
    reasons: tuple[str, ...]


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """A :class:`Built` whose common components are numbers of pairs."""

    key: str
    common: list[int]
    components: dict[str, Component]
    outputs: dict[str, Digest]


class _Changes(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the journal: entries as they are now; None where one was removed."""

    built: dict[str, Built | None] = {}
    known: dict[str, Known | None] = {}
    published: dict[str, dict[str, Published] | None] = {}
    told: dict[str, Told | None] = {}
    code: dict[str, tuple[str, ...] | None] = {}


class Rest(NamedTuple):
    """What a build of a part takes over from the note of the whole: stamps, and for which models they are."""

    seen: Mapping[str, Stamp | None]
    lookers: Mapping[str, str | tuple[str, ...]]
    declaring: Mapping[str, Collection[str]]

    @staticmethod
    def of(note: noop.Note, built: Collection[str]) -> Rest:
        """All that a note holds but what was looked at only for the models that are ``built`` now."""
        seen: dict[str, Stamp | None] = {}
        lookers: dict[str, str | tuple[str, ...]] = {}
        stamps = (
            Stamp(m * _SECOND + m_ns, c * _SECOND + c_ns, size, inode)
            for inode, size, m, m_ns, c, c_ns in note.stamps()
        )
        found = chain(zip(note.paths(), stamps, strict=True), ((path, None) for path in note.absent))
        for (path, stamp), looker in zip(found, note.lookers(), strict=True):
            others = tuple(model for model in _each(looker) if model not in built)
            if others or not looker:
                seen[path] = stamp
                lookers[path] = looker if isinstance(looker, str) or len(others) != 1 else others[0]
        return Rest(seen, lookers, note.declaring())


NO_REST = Rest({}, {}, {})


def _each(looker: str | tuple[str, ...]) -> tuple[str, ...]:
    return (looker,) if isinstance(looker, str) else looker


def _together(one: str | tuple[str, ...], other: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """For whom a path was looked at, when two say so."""
    models = dict.fromkeys((*_each(one), *_each(other)))
    if "" in models or len(models) > SHARED:
        return ""
    return next(iter(models)) if len(models) == 1 else tuple(models)


def _joined(
    rest: Mapping[str, str | tuple[str, ...]], now: Mapping[str, str | tuple[str, ...]]
) -> Mapping[str, str | tuple[str, ...]]:
    """For whom every path was looked at, in an earlier build or now."""
    return {**rest, **now, **{path: _together(rest[path], now[path]) for path in rest.keys() & now.keys()}}


_NOTHING: Mapping[str, Published] = MappingProxyType({})
_KINDS: dict[str, Any] = {
    "built": dict[str, _Packed],
    "known": dict[str, Known],
    "published": dict[str, dict[str, Published]],
    "told": dict[str, Told],
    "code": dict[str, tuple[str, ...]],
}


def model_of(id: str) -> str:
    """The label of the model that an action is of."""
    return intern(id.partition("#")[0].partition("@")[0])  # every table keeps it


def _folder_of(path: str) -> str:
    """The folder by which a file is known; of what is published, that of the package."""
    return path.rsplit("/", 3 if path.startswith("out/") else 1)[0] if "/" in path else ""


class State:
    """The memory in a workspace's ``.megbuild`` folder, read model by model; the holder of its lock writes.

    ``built``, ``published`` (path -> artifact) and ``told`` are by action, ``known`` (for :class:`Files`) by path,
    ``code`` (which modules code imports) by a digest of that code.
    Change them freely and ``save``; what ``finished`` takes in survives the process at once.
    """

    def __init__(self, workspace: Path, warn: Callable[[str], None] = lambda text: None) -> None:
        self.workspace = workspace
        folder = workspace / ".megbuild"
        self._path = folder / "state"
        self._notes = folder / "fresh"
        self._journal = Journal(folder / "journal")
        self._lock = threading.RLock()
        self._shelves: dict[str, Shelf[Any]] = {}
        self._changed_much = False
        self._warn = warn
        self._open(None)

    def _open(self, parts: Parts | None) -> None:
        self._opened = parts
        self._written = False
        self._pairs: list[tuple[str, Component]] = []
        self._numbers: dict[tuple[str, type, Component], int] = {}
        for name, value in self._fetch(_PAIRS, list[tuple[str, Component]]) or ():
            self._number(name, value)
        self.built: Table[Built] = Table(model_of, self._built, self._stored("built"))
        self.known: Table[Known] = Table(_folder_of, self._fetched("known"), self._stored("known"))
        self.published: Table[dict[str, Published]] = Table(
            model_of, self._fetched("published"), self._stored("published")
        )
        self.told: Table[Told] = Table(model_of, self._fetched("told"), self._stored("told"))

        self.code: Table[tuple[str, ...]] = Table(lambda key: "", self._fetched("code"), self._stored("code"))

    @property
    def _tables(self) -> dict[str, Table[Any]]:
        return {kind: getattr(self, kind) for kind in _KINDS}

    @classmethod
    def load(cls, workspace: Path, warn: Callable[[str], None]) -> State:
        """What was saved, and what finished since. A state that cannot be used is an empty one; ``warn`` hears why."""
        state = cls(workspace, warn)
        try:
            state._open(Parts(state._path, _HEAD))
        except FileNotFoundError:
            pass
        except (ValueError, OSError) as error:
            state._unusable(error)
        for number, line in enumerate(state._journal.replay(), 1):
            try:
                changes = msgspec.json.decode(line, type=_Changes)
                msgspec.msgpack.encode(changes)  # a number that no state can hold is of no version at all
                state._apply(changes)
            except (ValueError, OverflowError, RecursionError):
                warn(f"{state._journal.path} holds a line of another version of megbuild, which was left out")
            if number % _LINES == 0:
                state.put_away()
        for table in state._tables.values():
            table.changed.clear()
        return state

    def finished(self, action: str, built: Built, published: Mapping[str, Published] = _NOTHING) -> None:
        """An action is done and its outputs are in the store: remember it, even if this process is killed next.

        Threads may call it.
        """
        with self._lock:
            stands = {**self.published.get(action, {}), **published} if published else {}
            changes = _Changes({action: built}, published={action: stands} if published else {})
        self._journal.append(msgspec.json.encode(changes))
        with self._lock:
            self._apply(changes)
            self.built.changed.discard(action)
            self.published.changed.discard(action)

    def sync(self) -> None:
        """What has finished so far is remembered even if the power fails next."""
        self._journal.sync()

    def save(self) -> None:
        """Write what changed: the whole state, or for a large one that was changed in little, a line beside it."""
        with self._lock:
            line = (
                self._line()
                if self._may_be_beside(_LEAST * sum(len(t.changed) for t in self._tables.values()))
                else b""
            )
            if line and self._may_be_beside(len(line)):
                if any(table.changed for table in self._tables.values()):
                    self._journal.append(line)
                    self._journal.sync()
            else:
                self._write()
                self._changed_much = False
            for table in self._tables.values():
                table.changed.clear()

    def _may_be_beside(self, more: int) -> bool:
        """Whether the state is so large that it is not written again for what stands beside it and so many bytes."""
        if self._changed_much:
            return False
        return bool(self._parts and self._parts.size > max(_SMALL, 4 * (self._journal.size() + more)))

    def _line(self) -> bytes:
        changed = {kind: {key: table.get(key) for key in table.changed} for kind, table in self._tables.items()}
        return msgspec.json.encode(_Changes(**changed))

    def put_away(self) -> None:
        """Let go of all entries in memory; they are read again when they are asked for."""
        with self._lock:
            for kind, table in self._tables.items():
                table.put_away(self._shelves.setdefault(kind, Shelf(self._path.parent)))
                if len(table.changed) > _MANY:  # no line will tell them one by one
                    self._changed_much = True
                    table.changed.clear()

    def remember(
        self,
        selection: str,
        summary: str,
        outputs: int,
        files: Files,
        environment: Mapping[str, str | None],
        rest: Rest = NO_REST,
        keep: Callable[[Path], str] = lambda path: "",
    ) -> bool:
        """Note that a selection is up to date, so that :func:`megbuild.store.noop.look` can say ``summary``.

        ``files`` has looked at all that this depends on, published artifacts and megbuild's own files among them, but
        for the ``rest``, whose stamps stand as they were noted; ``environment`` holds the variables that enter keys.
        ``keep`` writes what is kept of the declarations into a file and gives its name inside. Returns False, and notes
        nothing, when a file moved.
        """
        files.settle()
        if not files.settled:
            return False
        seen = {**rest.seen, **files.watched} if rest.seen else files.watched
        lookers = _joined(rest.lookers, files.lookers) if rest.lookers else files.lookers
        declaring = {**rest.declaring, **files.declaring}
        path = noop.note_path(str(self.workspace), selection)
        kept = keep(Path(noop.kept_path(path)))
        with placing(Path(path)) as note:
            for piece in noop.encode(selection, summary, outputs, environment, seen, lookers, declaring, kept):
                write_all(note, bytes(piece))
        self._drop_old_notes()
        return True

    def forget_selections(self, but: str | None = None) -> None:
        """No selection is known to be up to date any more, ``but`` one: the next build of another looks at everything."""
        kept = None if but is None else Path(noop.note_path(str(self.workspace), but))
        for note in self._all_notes():
            if note != kept:
                _remove(note)

    def _apply(self, changes: _Changes) -> None:
        for kind, table in self._tables.items():
            for key, value in getattr(changes, kind).items():
                if value is not None:
                    table[key] = value
                elif key in table:
                    del table[key]
        for placed in changes.published.values():
            for path, published in (placed or {}).items():
                self.known[path] = (published.stamp, published.sha256)

    # the stored parts

    @property
    def _parts(self) -> Parts | None:
        """What is stored; after it was written, it is opened when somebody asks for it: its index is large."""
        if self._written:
            self._written = False
            try:
                self._opened = Parts(self._path, _HEAD)
            except (ValueError, OSError) as error:
                self._unusable(error)
        return self._opened

    def _stored(self, kind: str) -> Callable[[], Iterator[str]]:
        start = kind + " "
        return lambda: (name[len(start) :] for name in self._parts or () if name.startswith(start))

    def _fetched(self, kind: str) -> Callable[[str], dict[str, Any]]:
        return lambda name: self._fetch(f"{kind} {name}", _KINDS[kind]) or {}

    def _fetch(self, name: str, type: Any) -> Any:
        """A stored part; None, and a warning, when it cannot be used."""
        if self._parts is None or name not in self._parts:
            return None
        try:
            return msgspec.msgpack.decode(self._parts.read(name), type=type)
        except (ValueError, OSError) as error:
            self._unusable(error)
            return None

    def _unusable(self, error: Exception) -> None:
        self._warn(f"{self._path} cannot be used, starting without it: {error}")

    def _built(self, model: str) -> dict[str, Built]:
        found: dict[str, _Packed] = self._fetch(f"built {model}", _KINDS["built"]) or {}
        pairs = self._pairs
        try:
            return {
                id: Built(packed.key, {**dict(pairs[at] for at in packed.common), **packed.components}, packed.outputs)
                for id, packed in found.items()
            }
        except IndexError as error:
            self._unusable(error)
            return {}

    def _number(self, name: str, value: Component) -> int:
        number = self._numbers.setdefault((name, type(value), value), len(self._pairs))
        if number == len(self._pairs):
            self._pairs.append((name, value))
        return number

    def _packed(self, built: Built) -> _Packed:
        common, own = [], {}
        for name, value in built.components.items():
            if name.partition(":")[0] in _COMMON:
                common.append(self._number(name, value))
            else:
                own[name] = value
        return _Packed(built.key, common, own, built.outputs)

    def _write(self) -> None:
        """The whole state, part by part: those that nobody touched as they are stored."""
        if len(self._pairs) > _MANY:
            self.built.touch(self.built.names())
            self._pairs, self._numbers = [], {}
        write_parts(self._path, _HEAD, self._all_parts())
        self._journal.clear()
        self._opened, self._written = None, True
        for table in self._tables.values():
            table.saved()

    def _all_parts(self) -> Iterator[tuple[str, bytes]]:
        for kind, table in self._tables.items():
            for name in table.names():
                if not table.differs(name) and self._parts and f"{kind} {name}" in self._parts:
                    with suppress(ValueError):
                        yield f"{kind} {name}", self._parts.read(f"{kind} {name}")
                elif part := table.look(name):
                    packed = {id: self._packed(built) for id, built in part.items()} if kind == "built" else part
                    yield f"{kind} {name}", msgspec.msgpack.encode(packed)
        yield _PAIRS, msgspec.msgpack.encode(self._pairs)

    # the notes

    def _all_notes(self) -> list[Path]:
        try:
            return [Path(entry.path) for entry in scandir(self._notes) if "." not in entry.name]
        except FileNotFoundError:
            return []

    def _drop_old_notes(self) -> None:
        notes = self._all_notes()
        if len(notes) > _NOTES:
            for note in sorted(notes, key=lambda note: note.stat().st_mtime_ns)[:-_NOTES]:
                _remove(note)


def _remove(note: Path) -> None:
    for path in (str(note), noop.kept_path(str(note))):
        with suppress(FileNotFoundError):
            Path(path).unlink()
