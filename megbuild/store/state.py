"""The workspace's memory: what each action was built from, which files are known, what stands in ``out/``.

Everything in it can be lost without harm: records and contents are in the store, and the files are there to be read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from zlib import crc32

import msgspec

from megbuild.store import noop
from megbuild.store.digests import Digest, Stamp
from megbuild.store.durable import place
from megbuild.store.files import Files, Known
from megbuild.store.journal import Journal
from megbuild.store.records import Component

_HEAD = b"megbuild state 1\n"
_NOTES = 32
"""Selections that are remembered as up to date; the oldest are dropped."""


class Built(msgspec.Struct, frozen=True, array_like=True):
    """How an action was last built: its key, what entered it, and the files below ``out/`` that it made."""

    key: str
    components: dict[str, Component]
    outputs: dict[str, Digest]


class Published(msgspec.Struct, frozen=True, array_like=True):
    """An artifact that megbuild placed in the workspace: its stamp, its SHA-256, and the action that made it."""

    stamp: Stamp
    sha256: str
    action: str


class _Finished(msgspec.Struct, frozen=True, array_like=True):
    action: str
    built: Built
    published: dict[str, Published]


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    built: dict[str, Built]
    known: dict[str, Known]
    published: dict[str, Published]


_NOTHING: Mapping[str, Published] = MappingProxyType({})


class State:
    """The memory in a workspace's ``.megbuild`` folder, read and written whole; the holder of its lock writes.

    ``built`` is by action, ``known`` (for :class:`Files`) and ``published`` by path. Change them freely and ``save``;
    what ``finished`` takes in survives the process at once.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.built: dict[str, Built] = {}
        self.known: dict[str, Known] = {}
        self.published: dict[str, Published] = {}
        folder = workspace / ".megbuild"
        self._path = folder / "state"
        self._notes = folder / "fresh"
        self._journal = Journal(folder / "journal")
        self._lock = threading.Lock()

    @classmethod
    def load(cls, workspace: Path, warn: Callable[[str], None]) -> State:
        """What was saved, and what finished since. A state that cannot be used is an empty one; ``warn`` hears why."""
        state = cls(workspace)
        try:
            state._take(_decode(state._path.read_bytes()))
        except FileNotFoundError:
            pass
        except (ValueError, OSError) as error:
            warn(f"{state._path} cannot be used, starting without it: {error}")
        for line in state._journal.replay():
            try:
                state._apply(msgspec.json.decode(line, type=_Finished))
            except ValueError:
                warn(f"{state._journal.path} holds a line of another version of megbuild, which was left out")
        return state

    def finished(
        self, action: str, built: Built, published: Mapping[str, Published] = _NOTHING, *, durable: bool = True
    ) -> None:
        """An action is done and its outputs are in the store: remember it, even if this process is killed next.

        ``durable``: even if the power fails next. Threads may call it.
        """
        finished = _Finished(action, built, dict(published))
        self._journal.append(msgspec.json.encode(finished), durable=durable)
        with self._lock:
            self._apply(finished)

    def save(self) -> None:
        """Write everything; the journal has then done its work."""
        with self._lock:
            body = msgspec.msgpack.encode(_Stored(self.built, self.known, self.published))
        place(self._path, _HEAD + crc32(body).to_bytes(4, "big") + body)
        self._journal.clear()

    def remember(self, selection: str, summary: str, files: Files, environment: Mapping[str, str | None]) -> bool:
        """Note that a selection is up to date, so that :func:`megbuild.store.noop.unchanged` can say ``summary``.

        ``files`` has looked at all that this depends on, published artifacts and megbuild's own files among them;
        ``environment`` holds the variables that enter keys. Returns False, and notes nothing, when a file moved.
        """
        files.settle()
        if not files.settled:
            return False
        stamps = [seen and (seen.mtime_ns, seen.ctime_ns, seen.size, seen.inode) for seen in files.watched.values()]
        note = noop.encode(selection, summary, environment, list(files.watched), stamps)
        place(Path(noop.note_path(str(self.workspace), selection)), note)
        self._drop_old_notes()
        return True

    def forget_selections(self) -> None:
        """No selection is known to be up to date any more: the next build looks at everything."""
        for note in self._all_notes():
            with suppress(FileNotFoundError):
                note.unlink()

    def _take(self, stored: _Stored) -> None:
        self.built, self.known, self.published = stored.built, stored.known, stored.published

    def _apply(self, finished: _Finished) -> None:
        self.built[finished.action] = finished.built
        self.published.update(finished.published)
        for path, published in finished.published.items():
            self.known[path] = (published.stamp, published.sha256)

    def _all_notes(self) -> list[Path]:
        try:
            return [Path(entry.path) for entry in os.scandir(self._notes)]
        except FileNotFoundError:
            return []

    def _drop_old_notes(self) -> None:
        notes = self._all_notes()
        if len(notes) > _NOTES:
            for note in sorted(notes, key=lambda note: note.stat().st_mtime_ns)[:-_NOTES]:
                note.unlink()


def _decode(stored: bytes) -> _Stored:
    start = len(_HEAD) + 4
    if stored[: len(_HEAD)] != _HEAD:
        raise ValueError("it is of another version of megbuild")
    if crc32(stored[start:]) != int.from_bytes(stored[len(_HEAD) : start], "big"):
        raise ValueError("it was damaged on the disk")
    return msgspec.msgpack.decode(stored[start:], type=_Stored)
