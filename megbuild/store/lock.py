"""One writer at a time in a folder, by a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from megbuild.errors import fail
from megbuild.store.durable import unwritable

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class Lock:
    """A lock that is held until ``release`` or the end of the ``with`` block, or of the process.

    A child that is forked without exec shares it: such a child must close ``descriptor``.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def release(self) -> None:
        """Let the next one in."""
        if self.descriptor >= 0:
            os.truncate(self.descriptor, 0)
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(folder: Path, say: Callable[[str], None], *, command: str = "") -> Lock:
    """Hold ``folder/lock``, waiting for whoever holds it; ``say`` hears once for whom.

    ``command`` is what others are told about us, by default the command line. A file system without locks is an error.
    """
    path = folder / "lock"
    said = False
    while True:
        descriptor = _open(path)
        try:
            if not _try(path, descriptor, wait=False):
                if not said:
                    say(f"waiting for {_holder(descriptor)}")
                    said = True
                _try(path, descriptor, wait=True)
            if _still_there(path, descriptor):
                _sign(descriptor, command or _command_line())
                return Lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the folder was removed or replaced while we waited


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unwritable(path, error) from error


def _try(path: Path, descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise fail(
                "MB601",
                f"the file system of {path.parent} has no locks, so two builds could not be kept apart",
                "move the workspace to a local disk, or mount its file system with locks",
            ) from error
        raise
    return True


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int, command: str) -> None:
    signature = {"pid": os.getpid(), "command": command, "started": time.time(), "host": socket.gethostname()}
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(signature).encode(), 0)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as far as its file says: the holder may not have signed yet, or have died unsigned."""
    try:
        signature = json.loads(os.pread(descriptor, 65536, 0))
        started = time.strftime("%H:%M:%S", time.localtime(signature["started"]))
        host = "" if signature["host"] == socket.gethostname() else f" on {signature['host']}"
        return f"`{signature['command']}` (pid {signature['pid']}{host}, started {started})"
    except (ValueError, KeyError, TypeError):
        return "another build"


def _command_line() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
