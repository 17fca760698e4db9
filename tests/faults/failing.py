# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH115, PTH116, PTH211 - the calls of the system are what it hands on
"""A file system that shows a folder and fails when it is told to: a disk, or a network's file system, as real as can be had.

    python failing.py FOLDER MOUNT_POINT ORDERS

``ORDERS`` is a file that may be changed while it is mounted: ``CALL NUMBER ERRNO`` a line. From its ``NUMBER``-th
call on, counted since the file was changed, each such call is answered with that errno; with a fourth word ``now-and-then``
each ``NUMBER``-th one. ``change`` stands for all calls that change something. It needs mfusepy and libfuse.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from mfusepy import FUSE, FuseOSError, Operations


class Shown:
    """The calls of FUSE, as the folder answers them; the paths are its own."""

    @staticmethod
    def getattr(path: str, fh: int | None = None) -> dict[str, int]:
        """By the name, or by what is open."""
        status = os.lstat(path) if fh is None else os.fstat(fh)
        return {
            name: getattr(status, name + "_ns" if "time" in name else name)
            for name in (
                "st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_atime", "st_mtime", "st_ctime",
            )
        }  # fmt: skip

    @staticmethod
    def opendir(path: str) -> int:
        """A descriptor: what is asked later comes without a path."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    @staticmethod
    def readdir(path: str, fh: int) -> list[str]:
        """With the two dots."""
        return [".", "..", *os.listdir(fh)]

    @staticmethod
    def releasedir(path: str, fh: int) -> None:
        """It is closed."""
        os.close(fh)

    @staticmethod
    def statfs(path: str) -> dict[str, int]:
        """Of the disk below."""
        told = os.statvfs(path)
        return {name: getattr(told, name) for name in dir(told) if name.startswith("f_") and name != "f_fsid"}

    @staticmethod
    def open(path: str, flags: int) -> int:
        """A descriptor."""
        return os.open(path, flags & ~os.O_APPEND)

    @staticmethod
    def create(path: str, mode: int, fi: object = None) -> int:
        """A descriptor of a new file."""
        return os.open(path, os.O_RDWR | os.O_CREAT, mode)

    @staticmethod
    def read(path: str, size: int, offset: int, fh: int) -> bytes:
        """From an open file."""
        return os.pread(fh, size, offset)

    @staticmethod
    def write(path: str, data: bytes, offset: int, fh: int) -> int:
        """To an open file."""
        return os.pwrite(fh, data, offset)

    @staticmethod
    def truncate(path: str, length: int, fh: int | None = None) -> None:
        """By the name: it may be read-only and open for writing."""
        os.truncate(path if fh is None else fh, length)

    @staticmethod
    def fsync(path: str, datasync: int, fh: int) -> None:
        """Of an open file."""
        os.fsync(fh)

    @staticmethod
    def fsyncdir(path: str, datasync: int, fh: int) -> None:
        """Nothing is open for it."""

    @staticmethod
    def flock(path: str, fh: int, op: int) -> None:
        """The kernel asks without waiting, and again."""
        import fcntl

        fcntl.flock(fh, op)

    @staticmethod
    def flush(path: str, fh: int) -> None:
        """Nothing to do."""

    @staticmethod
    def release(path: str, fh: int) -> None:
        """It is closed."""
        os.close(fh)

    @staticmethod
    def rename(old: str, new: str) -> None:
        """Within the folder."""
        os.rename(old, new)

    @staticmethod
    def link(target: str, source: str) -> None:
        """Within the folder."""
        os.link(source, target)

    @staticmethod
    def symlink(target: str, source: str) -> None:
        """As it is written."""
        os.symlink(source, target)

    @staticmethod
    def readlink(path: str) -> str:
        """As it is written."""
        return os.readlink(path)

    @staticmethod
    def unlink(path: str) -> None:
        """A file."""
        os.unlink(path)

    @staticmethod
    def mkdir(path: str, mode: int) -> None:
        """A folder."""
        os.mkdir(path, mode)

    @staticmethod
    def rmdir(path: str) -> None:
        """A folder."""
        os.rmdir(path)

    @staticmethod
    def chmod(path: str, mode: int) -> None:
        """As asked."""
        os.chmod(path, mode)

    @staticmethod
    def chown(path: str, uid: int, gid: int) -> None:
        """As asked."""
        os.chown(path, uid, gid)

    @staticmethod
    def utimens(path: str, times: tuple[int, int] | None = None) -> None:
        """In nanoseconds."""
        os.utime(path, ns=times)


CHANGES = frozenset(
    ("write", "create", "rename", "mkdir", "unlink", "rmdir", "link", "symlink", "truncate", "chmod", "utimens")
)


class Failing(Operations):  # type: ignore[misc]
    """The same below the mount point, but for what is ordered to fail."""

    use_ns = True
    flag_nullpath_ok = True
    """What is removed and still open has no path."""

    def __init__(self, folder: str, orders: str) -> None:
        self.folder, self.orders = folder, orders
        self.known: tuple[int, ...] = ()
        self.faults: dict[str, tuple[int, int, bool]] = {}
        self.seen: Counter[str] = Counter()

    def answer(self, name: str, *arguments: Any) -> Any:
        """A call, or its failure."""
        self._fail(name)
        paths = {"rename": 2, "link": 2}.get(name, 1)
        first = [self.folder + (path or "") for path in arguments[:paths]]  # none of what is removed and open
        if name == "symlink":
            first = [self.folder + arguments[0]]
        try:
            return getattr(Shown, name)(*first, *arguments[paths:])
        except OSError as error:
            raise FuseOSError(error.errno) from None

    def _fail(self, name: str) -> None:
        status = os.stat(self.orders)
        if (status.st_mtime_ns, status.st_ino) != self.known:
            self.known = (status.st_mtime_ns, status.st_ino)
            words = (line.split() for line in Path(self.orders).read_text().splitlines())
            self.faults = {name: (int(at), int(code), bool(rest)) for name, at, code, *rest in words}
            self.seen.clear()
        name = "change" if "change" in self.faults and name in CHANGES else name
        self.seen[name] += 1
        at, code, at_times = self.faults.get(name, (1, 0, False))
        if code and (self.seen[name] % at == 0 if at_times else self.seen[name] >= at):
            raise FuseOSError(code)


def _answered(name: str) -> Any:
    def call(self: Failing, *arguments: Any) -> Any:
        return self.answer(name, *arguments)

    return call


for _name in [name for name in vars(Shown) if not name.startswith("_")]:
    setattr(Failing, _name, _answered(_name))


if __name__ == "__main__":
    shown, where, orders = sys.argv[1:]
    FUSE(
        Failing(shown, orders),
        where,
        foreground=True,
        noforget=True,
        hard_remove=True,
        allow_other=True,
        nothreads=True,
    )
