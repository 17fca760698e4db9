"""Placing a file whole: readers see the old content or the new one, whatever dies in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megbuild.errors import FAILED, MegbuildError, fail

UNWRITABLE = "MB602"
"""The code of the error of a file that cannot be written."""
left: list[Path] = []
"""What is half-made and could not be removed by this process: whoever holds a workspace then goes as if it had died, so that the next one clears it away."""
_HERE, _EXCHANGE = -100, 2
"""The kernel's AT_FDCWD and RENAME_EXCHANGE."""


@contextmanager
def placing(path: Path, *, mode: int = 0o666, durable: bool = True) -> Iterator[int]:
    """A descriptor, open for reading and writing, whose content stands at ``path`` when the block ends well.

    Folders above are made. The umask applies to ``mode``. A ``durable`` file has reached the disk before it gets its
    name, so that a power failure cannot leave an empty one, and its name has when the block has ended. A process killed inside the block leaves a hidden file
    ``.<random>.part`` beside ``path`` and nothing else.
    """
    part = part_beside(path)
    try:
        descriptor = _create(part, mode)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield descriptor
        if durable:
            os.fsync(descriptor)
        part.rename(path)
        if durable:
            sync_folder(path.parent)
    except BaseException as error:
        discard(part)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise
    finally:
        os.close(descriptor)


def discard(part: Path) -> None:
    """Remove a file that is not whole; one that the disk does not let go is noted in ``left``."""
    try:
        part.unlink()
    except FileNotFoundError:
        pass
    except OSError:
        left.append(part)


def part_beside(path: Path) -> Path:
    """A new name beside ``path`` for what is not whole yet; :mod:`megbuild.store.recovery` knows it by its look."""
    return path.parent / f".{os.urandom(6).hex()}.part"


def place(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Make ``content`` the durable content of ``path``."""
    with placing(path, mode=mode) as descriptor:
        write_all(descriptor, content)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders or files beside each other trade their names in one step; False where the kernel or file system cannot."""
    import ctypes  # one command needs it

    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def sync_folder(folder: Path) -> None:
    """Names that were given or taken in a folder survive a power failure from here on."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> list[Path]:
    """Make a folder, with those above it; the folders to be synced, so that they survive a power failure."""
    if folder.is_dir():
        return []
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [path.parent for path in missing]


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write every byte: one system call may take fewer."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def unwritable(path: Path, error: OSError) -> MegbuildError:
    """The error of a file that cannot be written."""
    return fail(
        UNWRITABLE,
        f"cannot write {path}: {error.strerror}",
        "free space on the disk, or mend the folder's permissions",
        status=FAILED,
    )


def _create(part: Path, mode: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(part, flags, mode)
    except FileNotFoundError:
        for folder in make_folders(part.parent):
            sync_folder(folder)
        return os.open(part, flags, mode)
