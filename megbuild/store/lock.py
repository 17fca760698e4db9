"""Locks that the kernel releases when their holder dies, each a file that says who holds it.

============  ===================================  ========================================================
workspace     ``.megbuild/lock``                   one build, or other writer, at a time (``acquire``)
key           ``<cache>/store/running/<key>``      one of all builds runs an action; the others wait for its result (``making``)
cache         ``<cache>/lock``                     builds share it; only what removes things holds it alone (``using``, ``alone``)
============  ===================================  ========================================================

They are taken in this order, and no thread holds two keys: nobody waits in a circle.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from megbuild.errors import MegbuildError, fail
from megbuild.store.durable import UNWRITABLE, discard, left, unwritable

Say = Callable[[str], None]
_LOOK = 0.05
"""Seconds between looks at a lock that others hold."""
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class Stopped(Exception):
    """This build was told to end while it waited for a lock."""


class Lock:
    """A lock that is held until ``release`` or the end of the ``with`` block, or of the process.

    A child that is forked without exec shares it: such a child must close ``descriptor``. ``died``: whoever held it
    last ended without releasing it, or was interrupted and may have left things half-made.
    """

    def __init__(self, descriptor: int, *, died: bool = False, removes: Path | None = None) -> None:
        self.descriptor = descriptor
        self.died = died
        self._removes = removes

    def release(self, *, orderly: bool = True) -> None:
        """Let the next one in; unless we end ``orderly`` and with nothing ``left``, it is told that we ``died``."""
        if self.descriptor >= 0:
            with suppress(OSError):  # a full disk, or one that has become read-only, holds nobody up
                if self._removes or (orderly and not left):
                    os.truncate(self.descriptor, 0)
            if self._removes:
                discard(self._removes)
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(orderly=error is None or isinstance(error, MegbuildError))  # else it may have ended anywhere


def acquire(folder: Path, say: Say, *, command: str = "") -> Lock:
    """Hold ``folder/lock``, waiting for whoever holds it; ``say`` hears once for whom.

    ``command`` is what others are told about us, by default the command line. A file system without locks is an error.
    """
    lock = _hold(folder / "lock", fcntl.LOCK_EX, lambda holder: say(f"waiting for {holder}"), command=command)
    with suppress(OSError):  # a power failure is a death, too
        os.fdatasync(lock.descriptor)
    return lock


def making(store: Path, key: str, what: str, say: Say, stopped: Callable[[], bool]) -> Lock:
    """Hold one key of a store, while its action runs: no other build runs the same one meanwhile.

    :param what: the action, as the user reads it.
    :param stopped: asked while waiting.
    :raises Stopped: when ``stopped`` says so.
    """
    path = store / "running" / key
    lock = _hold(
        path, fcntl.LOCK_EX, lambda holder: say(f"{what}: waiting for {holder}, which makes the same"), stopped
    )
    return Lock(lock.descriptor, died=lock.died, removes=path)


def sweep_keys(store: Path) -> None:
    """Remove the files of keys that nobody holds any more: their holders died."""
    for path in (store / "running").glob("*"):
        with suppress(OSError, MegbuildError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _try(path, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) and _still_there(path, descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)


def using(cache: Path, say: Say) -> Lock | None:
    """Share a cache: nothing is removed from it meanwhile. None where it cannot be written: then nobody removes."""
    try:
        return _hold(cache / "lock", fcntl.LOCK_SH, lambda holder: say(f"waiting for {holder}"))
    except MegbuildError as error:
        if error.problems[0].code == UNWRITABLE and cache.is_dir():
            return None
        raise


def alone(cache: Path, say: Say) -> Lock:
    """Hold a cache alone, waiting until no build uses it."""
    return _hold(cache / "lock", fcntl.LOCK_EX, lambda holder: say(f"waiting for {holder}, which uses the cache"))


def alone_now(cache: Path) -> Lock | None:
    """The same without waiting: None when anybody uses it, or it cannot be written."""
    with suppress(MegbuildError):
        descriptor = _open(cache / "lock")
        if _try(cache / "lock", descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return Lock(descriptor)
        os.close(descriptor)
    return None


def _hold(path: Path, kind: int, tell: Say, stopped: Callable[[], bool] | None = None, *, command: str = "") -> Lock:
    said = False
    while True:
        descriptor = _open(path)
        try:
            if not _try(path, descriptor, kind | fcntl.LOCK_NB):
                if not said:
                    ours = stopped is not None and _is_ours(descriptor)
                    if not ours:
                        tell(_holder(descriptor))
                    said = not ours
                if stopped is None:
                    _try(path, descriptor, kind)
                else:  # a thread that waits in the kernel hears of nothing
                    _poll(path, descriptor, kind, stopped)
            if _still_there(path, descriptor):
                died = _sign(descriptor, command or _command_line())
                return Lock(descriptor, died=died)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the folder was removed or replaced while we waited, or the file by its holder


def _poll(path: Path, descriptor: int, kind: int, stopped: Callable[[], bool]) -> None:
    while not _try(path, descriptor, kind | fcntl.LOCK_NB):
        if stopped():
            raise Stopped
        time.sleep(_LOOK)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags, 0o666)
    except OSError as error:
        raise unwritable(path, error) from error


def _try(path: Path, descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise fail(
                "MB601",
                f"the file system of {path.parent} has no locks, so two builds could not be kept apart",
                "move the workspace, or the cache, to a local disk, or mount its file system with locks",
            ) from error
        raise
    return True


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int, command: str) -> bool:
    """Say who holds it; whether the one who said so last died before it could take that back.

    At no moment is the file of somebody who died empty, and ours is not even on a full disk: a hole takes no room.
    """
    died = os.fstat(descriptor).st_size > 0
    signature = {"pid": os.getpid(), "command": command, "started": time.time(), "host": socket.gethostname()}
    text = json.dumps(signature).encode()
    with suppress(OSError):  # the lock holds all the same
        if not died:
            os.truncate(descriptor, 1)
        os.pwrite(descriptor, text, 0)
        os.truncate(descriptor, len(text))
    return died


def _is_ours(descriptor: int) -> bool:
    """Whether another thread of this process holds it: nobody has to hear of that."""
    try:
        signature = json.loads(os.pread(descriptor, 65536, 0))
        return bool(signature["pid"] == os.getpid() and signature["host"] == socket.gethostname())
    except (ValueError, KeyError, TypeError):
        return False


def _holder(descriptor: int) -> str:
    """Who holds the lock, as far as its file says: the holder may not have signed yet, or have died unsigned."""
    try:
        signature = json.loads(os.pread(descriptor, 65536, 0))
        started = time.strftime("%H:%M:%S", time.localtime(signature["started"]))
        host = "" if signature["host"] == socket.gethostname() else f" on {signature['host']}"
        if not host and not Path(f"/proc/{int(signature['pid'])}").exists():  # of several that share it, one has ended
            return "another build"
        return f"`{signature['command']}` (pid {signature['pid']}{host}, started {started})"
    except (ValueError, KeyError, TypeError):
        return "another build"


def _command_line() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
