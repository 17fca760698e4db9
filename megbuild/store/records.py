"""The action cache: by key, what one execution of an action made and measured."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest
from megbuild.store.syncing import AT_ONCE, Syncs

FORMAT = 3
"""Raised when the fields below change. Records of a format that is not in READ are misses, and stay until one of this
format takes their place."""

READ = (2, FORMAT)
"""Format 2 says nothing of inputs that were not read."""

_DAY = 86400.0

Component = str | int | float | bool
"""One thing that entered a key, as a reason compares and shows it; floats are finite."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one execution made. ``outputs`` are the files below ``out/``; ``log`` is the digest of what it printed.

    ``components`` are what the reasons compare, by name; ``action`` and ``megbuild`` (the version) say who made it.
    It took ``duration_s`` seconds and at most ``memory`` bytes; 0 where that is not known. ``unread`` are the inputs declared
    by the user that it did not open, by their paths in its staged folder; None where that is not known.
    """

    key: str
    action: str
    outputs: dict[str, Digest]
    components: dict[str, Component]
    duration_s: float
    memory: int
    log: Digest | None
    toolchain: str
    toolchain_digest: str
    megbuild: str
    format: int = FORMAT
    unread: tuple[str, ...] | None = None


class _Foreign(Exception):
    """A sound record of another format."""


class RecordStore:
    """Records under ``folder/ac/<two digits>/<key>``: one line of JSON and one line with its SHA-256.

    ``warn`` hears of a damaged record, which is then removed and missing. Processes may share the folder; the last
    record put under a key stays.
    """

    def __init__(
        self, folder: Path, content: ContentStore, warn: Callable[[str], None], syncs: Syncs = AT_ONCE
    ) -> None:
        self._folder = folder / "ac"
        self._content = content
        self._warn = warn
        self._syncs = syncs

    def get(self, key: str) -> Record | None:
        """The record of a key, if all that it names can be had from the content store."""
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:  # a failing disk, or a folder: as good as damaged
            self._warn(f"{path} cannot be read: {error.strerror}")
            return None
        try:
            record = _decode(stored)
        except _Foreign:  # a version of megbuild that shares this store may go on reading it
            return None
        except ValueError as error:
            self._remove(path, str(error))
            return None
        if record.key != key:
            self._remove(path, f"it is the record of {record.key}")
            return None
        if not complete(record, self._content):
            return None
        _used(path)
        return record

    def all(self) -> Iterator[tuple[Record, float, int]]:
        """Every record that can be read, when it was last used, and its size in bytes; nothing is removed."""
        for path in sorted(self._folder.glob("??/[!.]*")):
            with suppress(OSError, ValueError, _Foreign):
                record, status = _decode(path.read_bytes()), path.stat()
                if record.key == path.name:
                    yield record, status.st_mtime, status.st_size

    def verify(self) -> int:
        """Read every record; ``warn`` hears of damaged ones, which are removed. How many there are."""
        paths = sorted(self._folder.glob("??/[!.]*"))
        for path in paths:
            self.get(path.name)
        return len(paths)

    def put(self, record: Record) -> None:
        """Keep a record. Its outputs must be in the content store already: readers may come at once."""
        line = msgspec.json.encode(record, order="sorted")
        self._syncs.place(self._path(record.key), line + b"\n" + _checksum(line) + b"\n", mode=0o444)

    def remove(self, key: str) -> None:
        """Forget a key, so that its action is run again."""
        with suppress(FileNotFoundError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _remove(self, path: Path, why: str) -> None:
        self._warn(f"{path} cannot be used and has been removed: {why}")
        with suppress(FileNotFoundError):
            path.unlink()


def _used(path: Path) -> None:
    """Note that a record was used, once a day: what is not used for long is removed first."""
    with suppress(OSError):  # of another user, or read-only
        if path.stat().st_mtime < time.time() - _DAY:
            os.utime(path)


def complete(record: Record, content: ContentStore) -> bool:
    """Whether every output of a record is in the content store; without its log a record is still worth having."""
    return all(content.has(digest) for digest in record.outputs.values())


def _decode(stored: bytes) -> Record:
    line, newline, checksum = stored.partition(b"\n")
    if not newline or checksum != _checksum(line) + b"\n":
        raise ValueError("it was damaged on the disk")
    found: Mapping[str, object] = msgspec.json.decode(line, type=dict[str, object])
    if found.get("format") not in READ:
        raise _Foreign
    return msgspec.json.decode(line, type=Record)


def _checksum(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest().encode()
