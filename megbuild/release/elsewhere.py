"""What plays another machine where it is installed: another clock, another processor, a folder that lists in another order.

A function gives None where this machine has nothing to do it with: the check then says what it did not vary.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from megbuild.execute.box import kernel

CLOCK, EMULATOR, MEMORY, USERS = "libfaketime", "qemu-x86_64", "a tmpfs at /dev/shm", "user namespaces"
"""What is wanted, as the user would look for it."""
_MEMORY = Path("/dev/shm")
_USER = 31337
"""The number of the other user, and of its group."""


def clock() -> Path | None:
    """libfaketime's library: the Python package of that name, or the distribution's."""
    found = importlib.util.find_spec("libfaketime")
    folders = list(found.submodule_search_locations or ()) if found else []
    libraries = [Path(folder, "vendor/libfaketime/src/libfaketime.so.1") for folder in folders]
    libraries += sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return next((library for library in libraries if library.is_file()), None)


def preloaded(library: Path, days: int) -> dict[str, str]:
    """The variables of a process whose calendar is so many days ahead; what measures spans of time goes right."""
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{days:+}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def emulator() -> Path | None:
    """QEMU's user emulation, below /usr, where actions see programs."""
    found = shutil.which("qemu-x86_64-static", path="/usr/bin") or shutil.which("qemu-x86_64", path="/usr/bin")
    return Path(found) if found else None


def memory(needed: int) -> Path | None:
    """A folder in memory with room for so many bytes twice: its listings begin with what was made last."""
    if not os.access(_MEMORY, os.W_OK):
        return None
    about = os.statvfs(_MEMORY)
    room = about.f_bavail * about.f_frsize > 2 * needed + (1 << 30)
    return _MEMORY if room and not about.f_flag & os.ST_NOEXEC else None


def can_be_another() -> bool:
    """Whether the kernel lets this user be another one to himself."""
    child = os.fork()
    if not child:
        try:
            become_another()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def become_another() -> None:
    """From here on this process and those it starts have another user and group number; their files stay their own."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_USERS)
    kernel.write("/proc/self/setgroups", "deny")
    kernel.write("/proc/self/uid_map", f"{_USER} {user} 1")
    kernel.write("/proc/self/gid_map", f"{_USER} {group} 1")
