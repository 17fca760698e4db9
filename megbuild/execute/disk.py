"""How much of the disk some folders take, and how much of it is free."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_ENTRY = 512
"""Bytes that a name takes at least, whatever is in its file."""


def used(folders: Iterable[Path], enough: int) -> int:
    """The bytes that everything below the folders takes; counting ends soon after ``enough``. What goes meanwhile counts nothing."""
    total = 0
    pending = [str(folder) for folder in folders]
    while pending and total <= enough:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                total += _ENTRY
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                if total > enough:
                    break
    return total


def length(folder: Path, enough: int) -> int:
    """The bytes of all files below a folder as a reader sees them, with those of holes; counting ends soon after ``enough``."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(base, name).lstat().st_size
        if total > enough:
            break
    return total


def free(folder: Path) -> int:
    """The bytes that an ordinary user can still write where a folder lies."""
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize
