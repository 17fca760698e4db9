"""A stem: a fork of the zygote that has imported the code of one rule as well. Actions that declare this very code are forked from it.

Code is known by the digests of all files that an action declares of it, and the stem imports from a copy of them, alone
in its view: no action's folder is to be seen. So it sees less than an action does, and what it has in memory
is what the action would import from its own folder. A stem is only ever a shorter way: whatever goes wrong while it imports,
actions are forked from the zygote as before, and fail or not by themselves.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from types import CodeType
from typing import Any

from . import kernel, root, supervisor, warm

MOST = 12
"""Stems of one zygote: each takes some megabytes."""
_KNOWN = 10_000
"""Codes of which it is noted that they were seen."""
_SECONDS = 60
"""Processor seconds after which a stem's import is taken to hang."""
_CONTROL, _PROCESSES = 3, 4
"""The descriptors of a stem."""


class Stem:
    """A stem as the zygote knows it. ``names`` are the modules that it has and the zygote has not; None until it is ready."""

    def __init__(self, process: int, control: socket.socket) -> None:
        self.process, self.control = process, control
        self.names: frozenset[str] | None = None

    def serves(self, name: str) -> bool:
        """Whether the action of this staged folder can be forked from it: a module of the training code may have the name of one that the stem has."""
        return self.names is not None and not warm.clash(self.names, f"{root.ACTIONS}/{name}", toolchains=False)

    def give(self, message: bytes, descriptors: Sequence[int]) -> bool:
        """Hand an action over; False when the stem is gone."""
        try:
            socket.send_fds(self.control, [message], descriptors)
            return True
        except OSError:
            return False

    def end(self) -> None:
        """End it; its actions, if any, end with it."""
        self.control.close()
        os.waitpid(self.process, 0)

    def hear(self) -> bool:
        """Take what it has to say: that it is ready, or False when it is gone."""
        try:
            said = self.control.recv(1 << 18)
        except OSError:
            said = b""
        if not said:
            self.end()
            return False
        self.names = frozenset(said.decode().split("\n"))
        return True


class Stems:
    """The stems of a zygote, by the digest of their code."""

    def __init__(self) -> None:
        self._of: dict[str, Stem | None] = {}
        self._tried: set[str] = set()
        self._hearing: dict[int, str] = {}

    def get(self, code: str) -> Stem | None:
        """The stem of this code."""
        return self._of.get(code)

    def wanted(self, code: str) -> bool:
        """Whether one shall grow for an action of this code: for the second one, since many have one action."""
        if code not in self._of:
            if len(self._of) < _KNOWN:
                self._of[code] = None
            return False
        if self._of[code] or code in self._tried or len(self._tried) >= MOST:
            return False
        self._tried.add(code)
        return True

    def grown(self, code: str, stem: Stem) -> None:
        """One has been forked; its descriptor will be heard of."""
        self._of[code] = stem
        self._hearing[stem.control.fileno()] = code

    def hears(self, descriptor: int) -> bool:
        """Whether the descriptor is a stem's."""
        return descriptor in self._hearing

    def hear(self, descriptor: int) -> bool:
        """A stem has something to say; False when it is gone."""
        code = self._hearing[descriptor]
        stem = self._of[code]
        if stem and stem.hear():
            return True
        del self._hearing[descriptor]
        self._of[code] = None
        return False

    def end(self) -> None:
        """End all of them, so that what they have used is counted as used by this process."""
        there = [stem for stem in self._of.values() if stem]
        for stem in there:
            stem.control.close()
        for stem in there:
            stem.end()


def texts(folder: str, code: Mapping[str, str]) -> dict[str, bytes] | None:
    """The files of an action's code, read while it is sure to be there; None unless each is what the action declares."""
    found = {}
    for path, digest in code.items():
        try:
            with open(f"{folder}/{path}", "rb") as file:
                found[path] = file.read()
        except OSError:
            return None
        if sha256(found[path]).hexdigest() != digest:
            return None
    return found


def become(
    control: socket.socket, processes: int, files: Mapping[str, bytes], compiled: Mapping[str, CodeType], first: Mapping[str, Any], own: Iterable[str],
) -> tuple[socket.socket, int, dict[str, str | None]]:  # fmt: skip
    """In the forked process: keep nothing of the zygote's, import, and say so. Ends the process when that does not go well.

    :param processes: the open process namespace of the zygote.
    :param first: ``folder``, ``module`` and ``arguments``: whose function of the module's own name is called.
    :param own: the names of this code's modules, which are not to be found by that.
    :returns: the two descriptors again, by their new numbers, and what the import changed of the environment.
    """
    try:
        aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 16) for descriptor in (control.detach(), processes)]
        for descriptor, number in zip(aside, (_CONTROL, _PROCESSES)):
            os.dup2(descriptor, number, inheritable=False)
        kernel.close_from(_PROCESSES + 1)
        kernel.die_with_parent()
        for name in own:
            del sys.modules[name]
        here, environment = set(sys.modules), dict(os.environ)
        files_of_all = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        _alone_with(files)
        before = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, before[1]))
        warm.use(compiled)
        warm.begin(first, root.WORK)
        resource.setrlimit(resource.RLIMIT_CPU, before)
        if len(os.listdir("/proc/self/task")) > 1 or supervisor.children():
            raise RuntimeError("importing it starts threads or processes")
        os.chdir("/")
        kernel.enter(files_of_all, kernel.NEW_MOUNTS)
        os.close(files_of_all)
        sys.stdout.flush()
        gc.collect()
        gc.freeze()
        names = {name.partition(".")[0] for name in set(sys.modules) - here}
        changed = {
            name: os.environ.get(name)
            for name in {*environment, *os.environ}
            if os.environ.get(name) != environment.get(name)
        }
        with_zygote = socket.socket(fileno=_CONTROL)
        with_zygote.send("\n".join(sorted(names)).encode())
        return with_zygote, _PROCESSES, changed
    except BaseException as error:
        try:
            print(f"stem: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(1)


def _alone_with(files: Mapping[str, bytes]) -> None:
    """A view of the files in which /work holds the code and nothing else, and no action's folder is to be seen."""
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("megbuild", root.WORK, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, "size=64m")
    for folder in ("home", "tmp"):
        os.mkdir(f"{root.WORK}/{folder}")
    for path, content in files.items():
        place = f"{root.WORK}/{path}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
    kernel.protect(root.WORK, kernel.READ_ONLY)
    kernel.unmount(root.HIDDEN)
    os.chdir(root.WORK)
