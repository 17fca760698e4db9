"""Digests of files that environments share by hard links, so that a gigabyte is read once and not by every environment.

A file is known again by its inode, size and modification time, as :mod:`megbuild.execute.inventory` knows it. What is
remembered is the digest of the bytes that were there when it was first read: an environment made of a file that was
changed behind its stamp since has an inventory that says so to ``doit cache verify``.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from megbuild.errors import MegbuildError
from megbuild.store.durable import placing, write_all

FORMAT = 1
_MOST = 300_000
"""Files that are remembered; those seen least recently go. The largest toolchain has 50,000."""


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    digests: dict[int, tuple[int, int, str]]
    """By inode: size in bytes, modification time in ns, SHA-256."""
    format: int = FORMAT


class Known:
    """What the file ``path`` remembers; nothing when it is not there or damaged: its loss costs time only."""

    def __init__(self, path: Path) -> None:
        """Read it."""
        self._path = path
        self._old: dict[int, tuple[int, int, str]] = {}
        self._seen: dict[int, tuple[int, int, str]] = {}
        with suppress(OSError, ValueError):
            stored = msgspec.msgpack.decode(path.read_bytes(), type=_Stored)
            self._old = stored.digests if stored.format == FORMAT else {}

    def get(self, status: os.stat_result) -> str | None:
        """The SHA-256 of a file that looks like this; None when it was not seen."""
        found = self._seen.get(status.st_ino) or self._old.get(status.st_ino)
        if not found or found[0] != status.st_size or found[1] != status.st_mtime_ns:
            return None
        self._seen[status.st_ino] = found
        return found[2]

    def put(self, status: os.stat_result, sha256: str) -> None:
        """Remember a file that something else has by a hard link; others are not met again."""
        if status.st_nlink > 1:
            self._seen[status.st_ino] = (status.st_size, status.st_mtime_ns, sha256)

    def save(self) -> None:
        """Write it, when something is new. Of two processes that do so at once, one is not remembered."""
        if all(self._old.get(inode) == seen for inode, seen in self._seen.items()):
            return
        recent = list(({**{k: v for k, v in self._old.items() if k not in self._seen}, **self._seen}).items())
        content = msgspec.msgpack.encode(_Stored(dict(recent[-_MOST:])))
        with suppress(MegbuildError), placing(self._path, durable=False) as descriptor:
            write_all(descriptor, content)
