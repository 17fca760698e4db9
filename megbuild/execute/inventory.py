"""What an environment was made of: a line for every file, so that a changed one is noticed before anything runs in it.

Looking costs a ``stat`` of each file (``changed``); ``damaged`` reads them all. A file that somebody changes and gives
back its old size and time is found by the latter only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from megbuild.execute.known import Known
from megbuild.store.digests import digest_bytes, digest_file
from megbuild.store.durable import place

FORMAT = 1
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
Entry = tuple[int, int, int, str]
"""Size in bytes, modification time in ns, inode, and SHA-256 of the content, or of where a link leads."""


class _Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    files: dict[str, Entry]
    format: int = FORMAT


def take(folder: Path, known: Known | None = None) -> dict[str, Entry]:
    """What ``folder`` holds now, by path; a file that is ``known`` is not read again, and one that is not is known then."""
    seen = dict(_walk(folder))
    unread = [name for name, status in seen.items() if known is None or known.get(status) is None]
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashing lets go of the interpreter
        read = dict(zip(unread, threads.map(lambda name: _digest(folder / name), unread), strict=True))
    if known is not None:
        for name, sha256 in read.items():
            known.put(seen[name], sha256)
    return {name: (*_seen(status), read.get(name) or _remembered(known, status)) for name, status in seen.items()}


def write(files: dict[str, Entry], to: Path) -> None:
    """Make it the inventory ``to``."""
    place(to, msgspec.msgpack.encode(_Inventory(files)), mode=0o444)


def entry(path: Path) -> Entry:
    """The line of one file."""
    return (*_seen(path.lstat()), _digest(path))


def changed(folder: Path, inventory: Path) -> list[str]:
    """The files that do not look as they did, are missing or are new; all of them where the inventory is damaged.

    :raises FileNotFoundError: when there is no inventory.
    """
    known = _read(inventory)
    if known is None:
        return [inventory.name]
    left, differing = dict(known), []
    for name, status in _walk(folder):
        expected = left.pop(name, None)
        if expected is None or expected[:3] != _seen(status):
            differing.append(name)
    return sorted([*left, *differing])


def damaged(folder: Path, inventory: Path) -> list[str]:
    """The same by content: what holds other bytes, is missing or is new."""
    known = _read(inventory)
    if known is None:
        return [inventory.name]
    now = {name: _digest(Path(folder, name)) for name, _ in _walk(folder)}
    differing = {name for name in known.keys() & now.keys() if known[name][3] != now[name]}
    return sorted((known.keys() ^ now.keys()) | differing)


def _read(inventory: Path) -> dict[str, Entry] | None:
    try:
        found = msgspec.msgpack.decode(inventory.read_bytes(), type=_Inventory)
    except ValueError:
        return None
    return found.files if found.format == FORMAT else None


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file and link below a folder, with its status. The kernel looks for each in its own folder, not from the root on."""
    top = os.open(folder, _FOLDER)
    try:
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            descriptor = os.open(inside or ".", _FOLDER, dir_fd=top)
            try:
                with os.scandir(descriptor) as found:
                    for entry in found:
                        name = f"{inside}{entry.name}"
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(f"{name}/")
                        else:
                            yield name, entry.stat(follow_symlinks=False)
            finally:
                os.close(descriptor)
    finally:
        os.close(top)


def _remembered(known: Known | None, status: os.stat_result) -> str:
    sha256 = known and known.get(status)
    assert sha256, "what is not remembered was read"
    return sha256


def _seen(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _digest(path: Path) -> str:
    if stat.S_ISLNK(path.lstat().st_mode):
        return digest_bytes(os.fsencode(path.readlink())).sha256
    return digest_file(path).sha256
