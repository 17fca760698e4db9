"""Calls of the Linux kernel that Python does not have: namespaces, mounts, capabilities. x86-64, by ctypes.

Every function raises OSError with what was tried when the kernel refuses.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from typing import Any

NEW_MOUNTS, NEW_HOST_NAME, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USERS, NEW_PROCESSES, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
BIND, RECURSIVE, PRIVATE, DETACH = 0x1000, 0x4000, 0x40000, 2
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8
"""The same numbers in mount(2) and mount_setattr(2)."""

_CLONE, _CAPSET, _PIVOT_ROOT, _CLOSE_RANGE, _MOUNT_SETATTR = 56, 126, 155, 436, 442
_HERE, _AT_RECURSIVE = -100, 0x8000
_PARENT_DEATH_SIGNAL, _DROP_BOUND, _NO_NEW_PRIVILEGES, _SUBREAPER, _AMBIENT = 1, 24, 38, 36, 47
_LAST_CAPABILITY = 63

libc = ctypes.CDLL(None, use_errno=True)
_held = ctypes.PyDLL(None, use_errno=True)
"""Calls that keep the interpreter's lock, so that a clone of the process has it too."""


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def system_call(number: int, *arguments: Any, what: str) -> int:
    """A system call by its number; integers are passed as 64 bits."""
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(int(libc.syscall(ctypes.c_long(number), *wide)), what)


def clone(namespaces: int) -> int:
    """``fork`` into new namespaces; 0 in the child. Only for a process without threads."""
    flags = ctypes.c_long(namespaces | signal.SIGCHLD)
    none = ctypes.c_long(0)
    return _checked(int(_held.syscall(ctypes.c_long(_CLONE), flags, none, none, none, none)), "clone")


def unshare(namespaces: int) -> None:
    """Move this process (for processes: its children) into new namespaces."""
    _checked(libc.unshare(namespaces), f"unshare {namespaces:#x}")


def enter(descriptor: int, namespace: int) -> None:
    """Move this process (for processes: its children) into an open namespace."""
    _checked(libc.setns(descriptor, namespace), f"setns {namespace:#x}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2)."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    result = libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    _checked(result, f"mount {source} on {target}")


def protect(target: str, attributes: int, recursive: bool = False) -> None:
    """Add attributes, such as READ_ONLY, to a mount (with those below it); Linux 5.12."""
    asked = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    path = os.fsencode(target)
    system_call(_MOUNT_SETATTR, _HERE, path, flags, asked, len(asked), what=f"mount_setattr {target}")


def unmount(target: str) -> None:
    """Take a mount and all below it out of sight."""
    _checked(libc.umount2(os.fsencode(target), DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root, and put the old one at ``old`` below it."""
    system_call(_PIVOT_ROOT, os.fsencode(new), os.fsencode(old), what="pivot_root")


def die_with_parent() -> None:
    """Ask for SIGKILL when the thread that started this process dies."""
    libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent died."""
    _checked(libc.prctl(_SUBREAPER, 1, 0, 0, 0), "prctl subreaper")


def no_new_privileges() -> None:
    """No program that this process starts gets more rights than it has."""
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl no_new_privs")


def drop_capabilities() -> None:
    """Give up every capability for good; one that is not there to be given up is no error."""
    for capability in range(_LAST_CAPABILITY + 1):
        if libc.prctl(_DROP_BOUND, capability, 0, 0, 0) < 0:
            break  # the kernel knows no more of them, or this process may not: then it has none
    libc.prctl(_AMBIENT, 4, 0, 0, 0)
    system_call(_CAPSET, struct.pack("Ii", 0x20080522, 0), bytes(24), what="capset")


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on."""
    if libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(0)) < 0:
        os.closerange(first, 65536)  # before Linux 5.9


def flush() -> None:
    """Write out what C code has printed so far."""
    libc.fflush(None)


def write(path: str, text: str) -> None:
    """One raw write: a buffered file would swallow the kernel's refusal."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
