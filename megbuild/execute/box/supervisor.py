"""Without a process namespace: the process that ends what an action has started."""

from __future__ import annotations

import os
import signal

from . import kernel


def stay_behind(first: int) -> None:
    """Return in the action, a new process; this one stays behind until the action and its orphans have ended, and ends like it.

    :param first: the first descriptor that is the action's alone.
    """
    kernel.adopt_orphans()
    action = os.fork()
    if not action:
        kernel.die_with_parent()
        os.setsid()
        return
    kernel.close_from(first)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(action, signal.SIGKILL))
    status = None
    while True:
        try:
            process, ended = os.wait()
        except ChildProcessError:
            break
        if process == action:
            status = ended
        if status is not None:
            for orphan in children():
                os.kill(orphan, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status) if status is not None else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def children() -> list[int]:
    """The processes that this one has started and not waited for."""
    with open("/proc/thread-self/children") as file:
        return [int(process) for process in file.read().split()]
