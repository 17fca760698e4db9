"""The root that a zygote and its actions see, built in a mount namespace of its own.

::

    /usr /bin /lib ... /etc/ld.so.cache    the system's, read-only: programs and libraries, no settings, no users
    /toolchain  <the interpreter's path>   the environment, under one path for everybody; the Python it was made with
    /proc  /dev  /sys/devices/system/cpu   processes of the namespace; null, zero, full, random, urandom; processors
    /work  /tmp  /dev/shm                  an action's own, put there by box.confine
    /megbuild                              this code and the staged folders of all actions; taken away from each action
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from . import kernel

TOOLCHAIN, WORK, HIDDEN = "/toolchain", "/work", "/megbuild"
CODE, ACTIONS = f"{HIDDEN}/code", f"{HIDDEN}/actions"
_OLD = "/old"
_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_SAFE = kernel.NO_SUID | kernel.NO_DEV


def build(toolchain: str, interpreters: Sequence[str], actions: str, code: str) -> None:
    """Build the root and make it this process's; the process is alone in new mount and process namespaces.

    :raises OSError: when the kernel refuses a step.
    """
    toolchain, actions, code = (os.path.realpath(path) for path in (toolchain, actions, code))
    places = {folder: os.path.realpath(folder) for folder in interpreters}  # links lead elsewhere once the root changes
    kernel.mount("none", "/", None, kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("megbuild", "/tmp", "tmpfs", _SAFE, "mode=0755,size=16m")
    os.mkdir(f"/tmp{_OLD}")
    kernel.pivot_root("/tmp", f"/tmp{_OLD}")
    os.chdir("/")
    _system()
    _bind(toolchain, TOOLCHAIN)
    for folder, place in places.items():
        if not f"{folder}/".startswith("/usr/"):
            _bind(place, folder)
    _devices()
    for folder in (WORK, "/tmp", HIDDEN):
        os.makedirs(folder, exist_ok=True)
    kernel.mount("megbuild", WORK, "tmpfs", _SAFE, "size=16m")
    for folder in ("home", "tmp"):  # an SDK may want a home while it is imported
        os.mkdir(f"{WORK}/{folder}")
    kernel.mount("megbuild", HIDDEN, "tmpfs", _SAFE, "mode=0755,size=1m")
    _bind(code, f"{CODE}/{os.path.basename(code)}")
    _bind(actions, ACTIONS, _SAFE)
    kernel.unmount(_OLD)
    os.rmdir(_OLD)
    kernel.protect("/", kernel.READ_ONLY)


def _system() -> None:
    _bind("/usr", "/usr")
    for folder in _FOLDERS:
        if os.path.islink(_OLD + folder):
            os.symlink(os.readlink(_OLD + folder), folder)
        elif os.path.isdir(_OLD + folder):
            _bind(folder, folder)
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/sys/devices/system/cpu"):
        if os.path.exists(_OLD + path):
            _bind(path, path)
    os.mkdir("/proc")
    kernel.mount("proc", "/proc", "proc", _SAFE | kernel.NO_EXEC)


def _devices() -> None:
    os.makedirs("/dev/shm")
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"/dev/{name}", kernel.NO_SUID | kernel.NO_EXEC)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"/dev/{name}")


def _bind(source: str, target: str, attributes: int = kernel.READ_ONLY | _SAFE) -> None:
    """Show a file or a folder of the old root."""
    source = _OLD + source
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o644))
    kernel.mount(source, target, None, kernel.BIND | kernel.RECURSIVE)
    kernel.protect(target, attributes, recursive=True)
