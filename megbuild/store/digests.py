"""Digests of contents, and stamps: what a file looked like when its content was read.

A stamp is compared instead of the content. That is sound only for a file that was left alone for a moment before it
was read: the clock behind a file's times moves in steps, so two writes within one step leave the same stamp.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

_CHUNK = 1 << 18
"""Bytes read at a time: they stay in a processor's second cache between reading, hashing and writing."""
_LITTLE = 1 << 12
"""The least to read at a time: some files say that they are empty and are not."""

_SECOND = 1_000_000_000
QUIET = 20_000_000
"""Nanoseconds that a file must have been left alone; a Linux kernel's clock steps by 10 ms at most."""
_QUIET_WHOLE_SECONDS = 2 * _SECOND + QUIET


class Digest(Struct, frozen=True, order=True):
    """SHA-256 of a content in hex, and its size in bytes: what the Remote Execution API calls a Digest."""

    sha256: str
    size: int

    def __str__(self) -> str:
        return self.sha256


class Stamp(NamedTuple):
    """What ``stat`` says of a file or folder: times in nanoseconds, size in bytes, inode number."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


def digest_bytes(content: bytes) -> Digest:
    """The digest of a content in memory."""
    return Digest(hashlib.sha256(content).hexdigest(), len(content))


def digest_file(path: str | os.PathLike[str]) -> Digest:
    """The digest of a file, read in pieces; an OSError when it cannot be read."""
    with open(path, "rb", buffering=0) as file:
        return digest_descriptor(file.fileno())


def digest_descriptor(descriptor: int) -> Digest:
    """The digest of what an open file holds from its current position on."""
    hashed, size = hashlib.sha256(), 0
    for piece in pieces(descriptor):
        hashed.update(piece)
        size += len(piece)
    return Digest(hashed.hexdigest(), size)


def pieces(descriptor: int) -> Iterator[memoryview]:
    """What an open file holds from its current position on; each piece is gone when the next one is asked for.

    All of them are read into the same memory: fresh memory for every piece costs twice as much as hashing it. For the same
    reason a small file gets little of it.
    """
    memory = memoryview(bytearray(min(_CHUNK, max(_LITTLE, os.fstat(descriptor).st_size + 1))))
    while size := os.readv(descriptor, [memory]):
        yield memory[:size]


def stamp(path: str | os.PathLike[str]) -> Stamp | None:
    """The stamp of the file or folder that a path leads to, None when there is none."""
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116 - called for every file, and takes any path
    except (FileNotFoundError, NotADirectoryError):
        return None


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp within the answer of ``os.stat``."""
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def quiet_at(seen: Stamp) -> int:
    """The time in nanoseconds from which on a content read under this stamp belongs to no other stamp.

    Only the time of the last change counts: the other one is free for everybody to set. Where it is a whole second,
    the file system may know no smaller step.
    """
    return seen.ctime_ns + (QUIET if seen.ctime_ns % _SECOND else _QUIET_WHOLE_SECONDS)
