"""The one view of the disk during a build: every file is looked at once, and what was seen is remembered.

Paths are relative to the workspace, with forward slashes, or absolute.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from megbuild.errors import MegbuildError, fail
from megbuild.store import packed
from megbuild.store.digests import Digest, Stamp, digest_bytes, digest_file, quiet_at, stamp, stamp_of

Known = tuple[Stamp, str]
"""A file's stamp and the SHA-256 of the content that it stands for."""

_TRIES = 3
SHARED = 8
"""Models that may share a file before a change of it is taken to matter to all."""
_MADE = {"out", "__pycache__"}
"""Folders that builds and Python make."""
_MOST_FOLDERS = 100_000
"""Folders that one pattern looks into: beyond them it hangs, as one does that finds two links to their own folder."""
_KEPT = 4 << 20
"""Bytes of contents that are kept in memory: what many models import is read once, and their own sources go."""
_LONGEST_WAIT = 2_500_000_000
"""Nanoseconds; a file that is younger still has its time from another clock than ours."""


class Entry(NamedTuple):
    """What a folder holds under one name."""

    name: str
    is_folder: bool
    is_file: bool
    is_link: bool


class Files:
    """What a build sees of the disk. The first look at a path decides, so every stage sees the same.

    ``known`` spares the reading of files whose stamp it holds, and learns those that are read. For one thread.
    """

    def __init__(self, root: Path, known: MutableMapping[str, Known] | None = None) -> None:
        self._root = str(root)
        self._known: MutableMapping[str, Known] = {} if known is None else known
        self._watched = packed.stamps()
        self._digests = packed.digests()
        self._older = packed.digests()  # of them: those from before something was put away, that only we know
        self._contents: dict[str, bytes] = {}  # oldest first
        self._kept = 0
        self._listings: dict[str, tuple[Entry, ...]] = {}
        self._globs: dict[tuple[str, str], tuple[str, ...]] = {}
        self._declaring: dict[str, frozenset[str]] = {}
        self._searched: dict[str, frozenset[str]] = {}
        self._young: set[str] = set()  # looked at so soon after a change that a second change may hide behind the stamp
        self._moved: set[str] = set()
        self._lookers: dict[str, str | tuple[str, ...]] = {}
        self._trail: list[str] = []  # what the pattern that is being matched leads through
        self._trails: dict[tuple[str, str], tuple[str, ...]] = {}
        self._looker = ""

    @property
    def watched(self) -> Mapping[str, Stamp | None]:
        """All that was looked at: the stamps of files and listed folders, None for what was not there."""
        return self._watched

    @property
    def lookers(self) -> Mapping[str, str | tuple[str, ...]]:
        """For which models each path was looked at; the empty text where it matters to all."""
        return self._lookers

    @property
    def declaring(self) -> Mapping[str, frozenset[str]]:
        """Of the folders in which only declarations matter: the names of what can hold one."""
        return self._declaring

    @property
    def settled(self) -> bool:
        """Whether the stamps in ``watched`` stand for what was seen; ``settle`` makes them."""
        return not self._young and not self._moved

    @contextmanager
    def looking_for(self, model: str) -> Iterator[None]:
        """What is looked at inside matters to this model only; with an empty label, to the workspace as a whole."""
        before, self._looker = self._looker, model
        try:
            yield
        finally:
            self._looker = before

    def digest(self, path: str) -> Digest | None:
        """The digest of a file's content; None when there is no file."""
        self._look_for(path)
        try:
            return self._seen(path)
        except KeyError:
            found = self._digests[path] = self._look(path)
            return found

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        self._look_for(path)
        if path not in self._watched:
            self._watch(path, self._stat(path))
        return self._watched[path] is not None

    def watch(self, path: str) -> None:
        """Notice from now on when a file changes, or when a folder gets or loses a folder or a TOML file."""
        if self.digest(path) is None and self.exists(path):
            self._list(path)
            self._declaring[path] = self._declares(path)

    def watch_folder(self, path: str) -> None:
        """The same for a folder in which nothing else matters."""
        if path not in self._declaring:
            self._list(path, for_somebody=False)
            self._declaring[path] = self._declares(path)

    def listed(self, path: str) -> None:
        """Notice from now on when a folder gets or loses a name of any kind."""
        self._searched[path] = frozenset(entry.name for entry in self._list(path))

    def declares(self, folder: str) -> frozenset[str]:
        """The names in a folder that can hold a declaration; not what builds make there (``out``, hidden names)."""
        return self._declares(folder)

    def read(self, path: str) -> bytes | None:
        """A file's content, kept in memory for a while; None when there is no file. Read again, it is the same or shows as moved."""
        if path not in self._contents:
            wanted = self.digest(path)
            if wanted is None:
                return None
            content = self._read(path)
            if digest_bytes(content) != wanted:
                self._moved.add(path)
            self._contents[path] = content
            self._kept += len(content)
            while self._kept > _KEPT and len(self._contents) > 1:
                self._kept -= len(self._contents.pop(next(iter(self._contents))))
            return content
        return self._contents[path]

    def text(self, path: str) -> str | None:
        """A text file's content; None when there is no file. An error when it is not UTF-8."""
        content = self.read(path)
        try:
            return None if content is None else content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise fail("MB604", f"{path} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error

    def glob(self, pattern: str, base: str = "") -> tuple[str, ...]:
        """The files below ``base`` that match, sorted, as paths that begin with ``base``.

        ``*``, ``?`` and ``[...]`` match within a name and never a leading dot; ``**`` is any number of folders, among
        them no links and none that Python keeps its own files in. The folders that were listed are watched. A pattern that leaves ``base`` is an error.
        """
        if (pattern, base) in self._globs:
            for path in self._trails[pattern, base]:
                self._look_for(path)
        else:
            self._trail = []
            parts = tuple(part for part in pattern.split("/") if part not in ("", "."))
            if pattern.startswith("/") or ".." in parts:
                raise fail("MB605", f"the pattern {pattern} leaves its folder", "name files of that folder or below it")
            self._globs[pattern, base] = tuple(sorted(set(self._match(base, parts))))
            self._trails[pattern, base] = tuple(dict.fromkeys(self._trail))
        return self._globs[pattern, base]

    def note(self, path: str, seen: Stamp, digest: Digest) -> None:
        """Take in a file that the build itself has placed: what ``ContentStore.materialise`` returned for it."""
        self._look_for(path)
        self._watched[path] = seen
        self._digests[path] = digest
        self._older.pop(path, None)
        self._known[path] = (seen, digest.sha256)
        self._kept -= len(self._contents.pop(path, b""))
        self._young.discard(path)
        self._moved.discard(path)

    def put_away(self) -> None:
        """Let go of the digests that ``known`` can give again, by the stamps of the files."""
        for path, digest in self._digests.items():
            known = self._known.get(path)
            if not (digest and known and known == (self._watched[path], digest.sha256)):
                self._older[path] = digest
        self._digests = packed.digests()

    def settle(self) -> list[str]:
        """Look again at what was seen too soon after a change; return what has changed since it was first seen."""
        self._wait()
        return self._again(self._young)

    def moved(self) -> list[str]:
        """The files that changed, came or went since they were first seen; a mere touch is none. Settles too."""
        self._wait()
        touched = {path for path, seen in self._watched.items() if stamp(self._full(path)) != seen}
        return self._again(self._young | touched)

    # looking

    def _seen(self, path: str) -> Digest | None:
        """The digest that a path had when it was first looked at; a KeyError where none was asked for yet."""
        for digests in (self._digests, self._older):
            if path in digests:
                return digests[path]
        seen, known = self._watched[path], self._known.get(path)
        if seen is None or known is None or known[0] != seen:
            raise KeyError(path)
        return Digest(known[1], seen.size)

    def _look_for(self, path: str) -> None:
        """Take down for whom a path is looked at; beyond a few models it counts as mattering to all."""
        known = self._lookers.setdefault(path, self._looker)
        if known in ("", self._looker):
            return
        together = (known,) if isinstance(known, str) else known
        if self._looker not in together:
            shared = self._looker == "" or len(together) == SHARED
            self._lookers[path] = "" if shared else (*together, self._looker)

    def _full(self, path: str) -> str:
        return os.path.join(self._root, path)  # noqa: PTH118 - called for every file

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(self._full(path))  # noqa: PTH116 - called for every file
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from error

    def _watch(self, path: str, status: os.stat_result | None) -> Stamp | None:
        """Remember the stamp of what is about to be read."""
        seen = None if status is None else stamp_of(status)
        self._watched[path] = seen
        if seen is not None and time.time_ns() < quiet_at(seen):
            self._young.add(path)
        else:
            self._young.discard(path)
        return seen

    def _look(self, path: str) -> Digest | None:
        digest = None
        for _ in range(_TRIES):
            status = self._stat(path)
            seen = self._watch(path, status)
            if status is None or seen is None or not stat.S_ISREG(status.st_mode):
                self._known.pop(path, None)
                return None
            known = self._known.get(path)
            if known and known[0] == seen:
                self._young.discard(path)  # the stamp was trusted when it became known
                return Digest(known[1], seen.size)
            digest = self._hash(path)
            if digest and stamp(self._full(path)) == seen and digest.size == seen.size:
                if path not in self._young:
                    self._known[path] = (seen, digest.sha256)
                return digest
        self._moved.add(path)  # it changes as fast as it is read
        return digest

    def _hash(self, path: str) -> Digest | None:
        try:
            return digest_file(self._full(path))
        except FileNotFoundError:
            return None  # it has gone since it was stamped
        except OSError as error:
            raise _unreadable(path, error) from error

    def _read(self, path: str) -> bytes:
        try:
            with open(self._full(path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""  # it has gone since it was hashed, and shows as moved
        except OSError as error:
            raise _unreadable(path, error) from error

    # globs

    def _match(self, base: str, parts: tuple[str, ...]) -> Iterator[str]:
        """The files that parts of a pattern match. A folder is gone through once for each part, whatever leads there."""
        pending, seen = [(base, 0)] if parts else [], {(base, 0)}
        while pending:
            folder, at = pending.pop()
            for place in self._step(folder, parts, at):
                if place[1] == len(parts):
                    yield place[0]
                elif place not in seen:
                    seen.add(place)
                    pending.append(place)
            if len(seen) > _MOST_FOLDERS:
                hint = "name the folders, or take away links that lead back to folders above them"
                raise fail(
                    "MB615", f"the pattern {'/'.join(parts)} leads through more than {_MOST_FOLDERS} folders", hint
                )

    def _step(self, folder: str, parts: tuple[str, ...], at: int) -> Iterator[tuple[str, int]]:
        """What one part matches in a folder, each with the number of the part that goes on from there."""
        head, last = parts[at], at + 1 == len(parts)
        if head == "**":
            if not last:
                yield folder, at + 1
            for entry in self._list(folder):
                if entry.is_folder and not entry.is_link and entry.name[0] != "." and entry.name != "__pycache__":
                    yield _join(folder, entry.name), at
                elif last and entry.is_file and entry.name[0] != ".":
                    yield _join(folder, entry.name), at + 1
        elif not _WILD.search(head):
            path = _join(folder, head)
            if last:
                self._trail.append(path)
            if not last or self.digest(path) is not None:
                yield path, at + 1
        else:
            fits = _pattern(head)
            for entry in self._list(folder):
                if fits(entry.name) and (entry.is_file if last else entry.is_folder):
                    yield _join(folder, entry.name), at + 1

    def _list(self, folder: str, *, for_somebody: bool = True) -> tuple[Entry, ...]:
        folder = folder or "."
        if for_somebody:
            self._trail.append(folder)
            self._look_for(folder)
        if folder not in self._listings:
            self._watch(folder, self._stat(folder))
            self._listings[folder] = self._scan(folder)
        return self._listings[folder]

    def _declares(self, folder: str) -> frozenset[str]:
        seen = (
            entry.name
            for entry in self._list(folder, for_somebody=False)
            if entry.is_folder or entry.name.endswith(".toml")
        )
        return frozenset(name for name in seen if name not in _MADE and not name.startswith("."))

    def _scan(self, folder: str) -> tuple[Entry, ...]:
        try:
            with os.scandir(self._full(folder)) as found:
                entries = tuple(map(_entry, found))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise _unreadable(folder, error) from error
        for entry in entries:
            if not _is_utf8(entry.name):
                raise fail("MB606", f"a name in {folder} is not UTF-8: {entry.name!r}", "rename the file")
        return entries

    # looking again

    def _wait(self) -> None:
        """Let time pass until a second look at the young files tells."""
        stamps = [seen for path in self._young if (seen := self._watched[path])]
        missing = max((quiet_at(seen) for seen in stamps), default=0) - time.time_ns()
        if 0 < missing < _LONGEST_WAIT:
            time.sleep(missing / 1e9)

    def _again(self, paths: set[str]) -> list[str]:
        """Which of these paths look different now; those that look the same get their new stamps."""
        now = Files(Path(self._root))
        folders = [path for path in paths if path in self._listings]
        if folders:
            for (pattern, base), found in self._globs.items():
                self._moved.update(set(found).symmetric_difference(now.glob(pattern, base)))
        for folder in self._declaring.keys() & folders:
            changed = self._declaring[folder] ^ now._declares(folder)
            self._moved.update(os.path.normpath(_join(folder, name)) for name in changed)
        for folder in self._searched.keys() & folders:
            changed = self._searched[folder] ^ {entry.name for entry in now._list(folder)}
            self._moved.update(os.path.normpath(_join(folder, name)) for name in changed)
        for path in paths.difference(folders):
            try:
                same = now.digest(path) == self._seen(path)
            except KeyError:
                same = now.exists(path) == (self._watched[path] is not None)
            if same:
                self._adopt(path, now)
            else:
                self._moved.add(path)
        for path in {*folders, *now._listings}:  # a pattern may lead through folders that were not there before
            now.exists(path)
            self._listings[path] = now._listings.get(path, ())
            self._adopt(path, now)
        return sorted(self._moved)

    def _adopt(self, path: str, now: Files) -> None:
        self._watched[path] = now._watched[path]
        if path not in now._young:
            self._young.discard(path)
            if path in now._known:
                self._known[path] = now._known[path]
        else:
            self._young.add(path)


_WILD = re.compile(r"[*?[]")


@cache
def _pattern(part: str) -> Callable[[str], bool]:
    wanted = re.compile(fnmatch.translate(part)).match
    if part.startswith("."):
        return lambda name: wanted(name) is not None
    return lambda name: not name.startswith(".") and wanted(name) is not None


def _entry(found: os.DirEntry[str]) -> Entry:
    try:
        return Entry(found.name, found.is_dir(), found.is_file(), found.is_symlink())
    except OSError:  # a link that leads nowhere, or to itself
        return Entry(found.name, False, False, True)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(path: str, error: OSError) -> MegbuildError:
    return fail("MB603", f"cannot read {path}: {error.strerror}", "mend its permissions, or remove it")
