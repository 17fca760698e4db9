"""Clearing away what a command that died had begun: nothing that has a name of its own is touched."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from megbuild.store.content import ContentStore
from megbuild.store.durable import discard, left, place, unwritable
from megbuild.store.lock import Say, acquire, alone_now, sweep_keys
from megbuild.store.places import private_folder
from megbuild.store.removal import remove
from megbuild.store.syncing import AT_ONCE

_PART = re.compile(r"\.[0-9a-f]{12}\.part")
"""What ``placing`` calls a file that is not whole yet."""
_OTHERS = 86400.0
"""Seconds after which a part in a cache that other builds use belongs to none of them."""
BY_HAND = "run.sh"
"""What a failed action's folder holds: it stays for who wants to run it by hand."""


@contextmanager
def entering(root: Path, cache: Path, say: Say) -> Iterator[None]:
    """Hold a workspace's lock; what its last holder left half-made when it died is cleared away first.

    Who is interrupted in the middle of that leaves it to the next one. ``say`` hears for whom this waits.
    """
    with acquire(private_folder(root), say) as lock:
        if lock.died:
            recover(root, cache)
        yield


@contextmanager
def handing_over(folder: Path, say: Say) -> Iterator[None]:
    """Write into a folder of the user's, one command at a time; what a killed one left half-written there goes first.

    The folder itself is locked, so that no file of ours appears in it; where it cannot be locked, nothing is cleared away.
    """
    try:
        AT_ONCE.make(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another command that writes to {folder}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            _sweep(folder, deep=False)
        yield
    finally:
        os.close(descriptor)


def hand_over(path: Path, content: bytes, say: Say) -> None:
    """Write one file that the user named, whole or not at all; what is no plain file, such as a pipe, is written to as it stands."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = path.resolve()  # a link stays one
    with handing_over(path.parent, say):
        place(path, content)


def recover(root: Path, cache: Path) -> None:
    """Remove what the last build in a workspace left half-made; its lock is held, that of the cache is not."""
    left.clear()  # what cannot be removed now either is noted again
    private = private_folder(root)
    for folder in (root / "out", private / "fresh", private):
        _sweep(folder, deep=folder != private)
    for staged in half_made(private / "actions"):
        remove(staged)
    lock = alone_now(cache)
    try:
        sweep_cache(cache, 0.0 if lock else _OTHERS)
    except OSError:
        left.append(cache)
    if lock:
        lock.release()


def half_made(actions: Path) -> list[Path]:
    """The staged folders of actions that do not run any more and that nobody wants to run by hand."""
    with suppress(FileNotFoundError):
        return [staged for staged in actions.iterdir() if not (staged / BY_HAND).exists()]
    return []


def sweep_cache(cache: Path, older_than_s: float) -> None:
    """Remove what builds that were killed left half-written in a cache, and the keys that they held."""
    sweep_keys(cache / "store")
    ContentStore(cache / "store").sweep(older_than_s)
    limit = time.time() - older_than_s
    for folder in ("workspaces", "bundles", "toolchains"):
        for path in (cache / folder).glob(".*.part"):
            with suppress(OSError):
                if path.stat().st_mtime <= limit:
                    path.unlink()


def _sweep(folder: Path, *, deep: bool) -> None:
    for base, folders, names in os.walk(folder):
        for name in filter(_PART.fullmatch, names):
            discard(Path(base, name))
        for name in filter(_PART.fullmatch, folders):
            remove(Path(base, name))
        if not deep:
            folders.clear()
