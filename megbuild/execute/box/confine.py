"""What an action's process does to itself before it runs anything: its own view of the files, limits, no rights.

The order matters: no mount can be made under Landlock, and no Landlock rule names what is not mounted yet.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence

from . import calls, kernel, landlock, root

PRIVATE = ("out", "home", "tmp")
"""What an action may write to in its staged folder."""
_LIMITS = {"memory": "RLIMIT_DATA", "processes": "RLIMIT_NPROC", "file": "RLIMIT_FSIZE"}
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/proc")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SAFE = kernel.NO_SUID | kernel.NO_DEV
_MASKED = ("cmdline", "kallsyms", "keys", "key-users", "sched_debug", "slabinfo", "timer_list", "vmallocinfo")
"""Files of /proc that tell of the machine and its users what no conversion needs."""
_LEAST = 301
"""The smallest number of processes that the kernel takes for a namespace."""
_OPEN_FILES = 65536
"""Descriptors of one process: a thousand processes shall not use up all files of the machine."""


def mounts(name: str, laid: str, processes: int) -> None:
    """Show the staged folder ``name`` at /work, read-only but for what is its own, and hide all other ones.

    Its code comes from the folder ``laid``, if that is not ''.

    The process has been forked into its process namespace; from here on it has files, network and IPC of its own.
    """
    kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_NETWORK | kernel.NEW_IPC)
    stage = f"{root.ACTIONS}/{name}"
    kernel.mount(stage, root.WORK, None, kernel.BIND)
    kernel.protect(root.WORK, kernel.READ_ONLY | _SAFE)
    if laid:
        kernel.mount(f"{root.ACTIONS}/{laid}/code", f"{root.WORK}/code", None, kernel.BIND)
        kernel.protect(f"{root.WORK}/code", kernel.READ_ONLY | _SAFE)
    for folder in PRIVATE:
        kernel.mount(f"{stage}/{folder}", f"{root.WORK}/{folder}", None, kernel.BIND)
        kernel.protect(f"{root.WORK}/{folder}", _SAFE)
    if not os.listdir("/tmp"):  # an interpreter may live below it
        kernel.mount(f"{stage}/tmp", "/tmp", None, kernel.BIND)
    kernel.mount("megbuild", "/dev/shm", "tmpfs", _SAFE, "mode=1777,size=256m")
    kernel.mount("proc", "/proc", "proc", _SAFE | kernel.NO_EXEC)
    _tell(
        "/proc/sys/kernel/pid_max", str(max(processes, _LEAST))
    )  # holds root, too, as RLIMIT_NPROC does not; Linux 6.14
    _tell("/proc/self/oom_score_adj", "500")  # short of memory, the kernel ends actions and not the build
    for name in _MASKED:
        if os.path.exists(f"/proc/{name}"):
            kernel.mount("/dev/null", f"/proc/{name}", None, kernel.BIND)
    kernel.protect("/proc", kernel.READ_ONLY)
    kernel.unmount(root.HIDDEN)


def give_up(limits: Mapping[str, int], work: str, readable: Sequence[str], abi: int) -> None:
    """Limits, Landlock, no capabilities, no new privileges, few system calls; in this order."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, _OPEN_FILES), min(hard, _OPEN_FILES)))
    for name, limit in limits.items():
        kind = getattr(resource, _LIMITS[name])
        hard = resource.getrlimit(kind)[1]
        most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (most, most))
    if abi:
        writable = [f"{work}/{folder}" for folder in PRIVATE]
        if work == root.WORK:
            landlock.restrict(["/"], [*writable, "/tmp", "/dev/shm"], _DEVICES, abi)
        else:
            system = [path for path in (*_SYSTEM, "/sys/devices/system/cpu") if os.path.exists(path)]
            shared = [path for path in ("/dev/shm",) if os.path.exists(path)]
            landlock.restrict([*system, *readable, work], [*writable, *shared], _DEVICES, abi)
    kernel.drop_capabilities()
    kernel.no_new_privileges()
    if calls.available():
        calls.restrict(network=work == root.WORK)  # without a network namespace the network is the machine's


def _tell(path: str, text: str) -> None:
    try:
        kernel.write(path, text)
    except OSError:
        pass  # this kernel does not have it
