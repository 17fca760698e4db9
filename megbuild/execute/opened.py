"""Which of an action's inputs it opened, as the kernel tells it: a declared input that nobody opens is declared in vain.

A watch of inotify lies on the file itself, so it hears of it however it is opened: through the box's mounts, by C code, by
a process that the action started. It tells nothing of a file that was only looked at (``stat``, a listing of its folder).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from megbuild.graph.actions import Action, Leaf

_OPEN, _ONCE = 0x20, 0x80000000
"""An event of inotify(7), and that its watch goes with the first one."""


class Watched:
    """Watches on some files of a staged folder; to be made when they have been staged, and to be asked once.

    Each watch removes itself when its file is opened: there are never more events than files, so none gets lost.
    """

    def __init__(self, folder: Path, paths: Iterable[str]) -> None:
        self._libc = _libc()
        self._watches: Mapping[int, str] = {}
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC)
        self._complete = self._descriptor >= 0
        watches = {}
        for path in paths if self._complete else ():
            number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder / path), _OPEN | _ONCE)
            if number < 0:  # the user has used up his watches
                self._complete = False
                break
            watches[number] = path
        self._watches = watches

    def unread(self) -> tuple[str, ...] | None:
        """The files that have not been opened so far, sorted; None where the kernel could not watch all of them."""
        removed = self._libc.inotify_rm_watch
        left = [path for number, path in self._watches.items() if removed(self._descriptor, number) == 0]
        if self._descriptor >= 0:
            os.close(self._descriptor)
        return tuple(sorted(left)) if self._complete else None


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def declared(action: Action) -> tuple[str, ...]:
    """The inputs of an action that the user declared: where it finds them."""
    return tuple(entry.path for entry in action.inputs if isinstance(entry, Leaf) and entry.kind == "file")
