"""Folders in which nothing can be added or removed, and how they go all the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def protect(folder: Path) -> None:
    """Take write permission off the folders. Files stay as they are: they share their inodes with uv's cache."""
    for inner in _folders(str(folder)):
        Path(inner).chmod(0o555)


def delete(folder: Path) -> None:
    """Delete a folder whose folders may be without write permission; nothing when it is not there."""
    if not folder.exists():
        return
    for inner in _folders(str(folder)):
        Path(inner).chmod(0o755)
    shutil.rmtree(folder)


def take_away(folder: Path) -> None:
    """Delete it under another name first, so that no other build sees half of it."""
    doomed = folder.with_suffix(".partial")
    delete(doomed)
    folder.rename(doomed)
    delete(doomed)


def _folders(folder: str) -> Iterator[str]:
    """The folder and every folder below it, a folder before those in it; links are not followed."""
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        yield inside
        with os.scandir(inside) as found:
            waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
