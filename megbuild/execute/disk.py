"""How much of the disk some folders take, and how much of it is free."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_ENTRY = 512
"""Bytes that a name takes at least, whatever is in its file."""


class TooDeep(Exception):
    """A folder lies so deep that its path is longer than the kernel takes: nobody can look into it."""


def used(folders: Iterable[Path], enough: int) -> int:
    """The bytes that everything below the folders takes; counting ends soon after ``enough``. What goes meanwhile counts nothing.

    :raises TooDeep: when there are folders that cannot be counted.
    """
    total = 0
    for entry in _below(folders):
        total += _ENTRY
        with suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_blocks * 512
        if total > enough:
            break
    return total


def length(folder: Path, enough: int) -> int:
    """The bytes of all files below a folder as a reader sees them, with those of holes; counting ends soon after ``enough``."""
    total = 0
    for entry in _below([folder]):
        with suppress(OSError):
            total += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
        if total > enough:
            break
    return total


def _below(folders: Iterable[Path]) -> Iterator[os.DirEntry[str]]:
    """Every entry of the folders and of those below; raises TooDeep."""
    pending = [str(folder) for folder in folders]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    yield entry
                    with suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise TooDeep from None


def free(folder: Path) -> int:
    """The bytes that an ordinary user can still write where a folder lies."""
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize
