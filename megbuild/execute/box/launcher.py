"""The launcher: builds the box that a zygote lives in, starts the zygote there, and ends it with megbuild.

It stays a small process. Its standard input is a pipe that megbuild holds open: when megbuild is gone, however it went,
the zygote is killed, and with it, as it is the first process of its namespace, everything that runs below it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any

from . import kernel, landlock, root

NAMESPACES, LANDLOCK, NOTHING = "namespaces", "landlock", "nothing"
"""What confines actions: everything; Landlock alone; limits and an empty environment only."""
_ALL = (
    kernel.NEW_USERS
    | kernel.NEW_MOUNTS
    | kernel.NEW_PROCESSES
    | kernel.NEW_NETWORK
    | kernel.NEW_IPC
    | kernel.NEW_HOST_NAME
)
_OF_THE_USER = {"max_user_namespaces": "0", "max_inotify_instances": "16", "max_inotify_watches": "4096"}
"""What the kernel counts for each user: none of further namespaces, in which an action would be root again, and few enough of
the others that the user has some left."""
_FIRST = "import sys; at_start = sorted(sys.modules); sys.path.insert(0, sys.argv[1]); from box import zygote; zygote.main(at_start)"
"""What a zygote's interpreter is given: the modules that every Python has are noted before the first import."""


def main() -> None:
    """``python -c ... <JSON>``: see :meth:`megbuild.execute.zygote.Zygote.start` for its members."""
    asked = json.loads(sys.argv[-1])
    why = "asked for by the test" if asked["without"] == NAMESPACES else ""
    zygote = 0
    if asked["without"] not in (NAMESPACES, LANDLOCK):
        zygote, why = _in_namespaces(asked)
    if not zygote:
        able = landlock.version() and asked["without"] != LANDLOCK
        zygote = os.fork()
        if not zygote:
            kernel.die_with_parent()
            place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
            _become(asked, LANDLOCK if able else NOTHING, why, asked["python"], place)
    os.close(asked["control"])
    _watch(zygote)


def _in_namespaces(asked: dict[str, Any]) -> tuple[int, str]:
    """The zygote's process, or 0 and why the kernel gives no namespaces."""
    told, telling = os.pipe()  # closed by the zygote's first program, and before that only to tell of a failure
    user = os.geteuid(), os.getegid()
    try:
        zygote = kernel.clone(_ALL)
    except OSError as error:
        os.close(told)
        os.close(telling)
        return 0, _said(error)
    if not zygote:
        try:
            os.close(told)
            kernel.die_with_parent()
            _be_root_of_none(*user)
            # not resolved: a virtual environment is found by the path that its interpreter was started with
            python = root.TOOLCHAIN + asked["python"][len(asked["toolchain"]) :]
            code = os.path.dirname(os.path.abspath(__file__))
            root.build(asked["toolchain"], asked["interpreters"], asked["actions"], code)
            _become(asked, NAMESPACES, "", python, root.CODE)
        except BaseException as error:
            os.write(telling, _said(error).encode())
            os._exit(1)
    os.close(telling)
    if told not in select.select([0, told], [], [])[0]:  # megbuild is gone, or has lost patience
        os.kill(zygote, signal.SIGKILL)
    with os.fdopen(told) as pipe:
        why = pipe.read()
    if why:
        os.waitpid(zygote, 0)
        return 0, why
    return zygote, ""


def _said(error: BaseException) -> str:
    """What the kernel refused, without its number."""
    return getattr(error, "strerror", "") or str(error)


def _be_root_of_none(user: int, group: int) -> None:
    """In the new namespace the user is 0, which owns what it owned and nothing else."""
    kernel.write("/proc/self/setgroups", "deny")
    kernel.write("/proc/self/uid_map", f"0 {user} 1")
    kernel.write("/proc/self/gid_map", f"0 {group} 1")
    name = b"megbuild"
    kernel.libc.sethostname(name, len(name))
    for limit, most in _OF_THE_USER.items():
        try:
            kernel.write(f"/proc/sys/user/{limit}", most)
        except OSError:
            pass  # this kernel does not have it; Landlock forbids mounts in further namespaces as well


def _become(asked: dict[str, Any], box: str, why: str, python: str, place: str) -> None:
    """Become the zygote's Python, with the environment of its actions."""
    os.set_inheritable(asked["control"], True)
    work = root.WORK if box == NAMESPACES else "/nonexistent"
    environment = {**asked["environment"], "HOME": f"{work}/home", "TMPDIR": f"{work}/tmp"}
    told = {"control": asked["control"], "preload": asked["preload"], "box": box, "why": why}
    told.update(
        through=asked["through"], actions=asked["actions"], readable=[asked["toolchain"], *asked["interpreters"]]
    )
    arguments = [python, *asked["flags"], "-c", _FIRST, place, json.dumps(told)]
    os.execve(python, arguments, environment)


def _watch(zygote: int) -> None:
    """Wait until the zygote ends or megbuild does."""
    try:
        ended = os.pidfd_open(zygote)
    except OSError:  # before Linux 5.3
        while not select.select([0], [], [], 0.2)[0]:
            if os.waitpid(zygote, os.WNOHANG)[0]:
                return
    else:
        if 0 not in select.select([0, ended], [], [])[0]:
            os.waitpid(zygote, 0)
            return
    os.kill(zygote, signal.SIGKILL)
    os.waitpid(zygote, 0)
