"""What no case may do: write, start a process, reach a network. Audit hooks of the interpreter see each of these."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move", "shutil.copyfile",
}  # fmt: skip
_NEVER = {
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "socket.connect",
    "socket.bind", "socket.getaddrinfo", "ctypes.dlopen", "pickle.find_class", "webbrowser.open", "os.kill",
}  # fmt: skip


class _Watch:
    """The one hook of a process: it cannot be taken away again, so it does nothing between the cases."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _NEVER:
            if arguments != (None,):  # ctypes looks into this very process
                self.note(event, arguments)
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not self.inside(path):
                self.note(event, arguments)
        elif event in _CHANGES:
            paths = [os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))]
            if isinstance(arguments[-1], int) and arguments[-1] >= 0:  # relative to an open folder
                folder = Path(f"/proc/self/fd/{arguments[-1]}").readlink()
                paths = [str(folder / path) for path in paths]
            if not all(map(self.inside, paths[-1:] if event == "os.symlink" else paths)):
                self.note(event, arguments)

    def note(self, event: str, arguments: object) -> None:
        self.seen.append(f"{event} {arguments!r:.300}")

    def inside(self, path: Any) -> bool:
        """Whether a path lies in the folder, links followed. A descriptor was opened before, under this watch."""
        if isinstance(path, int):
            return True
        folder, self.folder = self.folder, None  # what is asked here is no part of the case
        try:
            real = os.path.realpath(os.fsdecode(path))
            return real == folder or real.startswith(f"{folder}/")
        finally:
            self.folder = folder


_watch: _Watch | None = None


@contextmanager
def harmless(folder: Path) -> Iterator[None]:
    """Raises AssertionError when what runs inside changes anything outside of a folder, starts a process or connects."""
    global _watch
    _watch = _watch or _Watch()
    _watch.seen.clear()
    _watch.folder = os.path.realpath(folder)
    try:
        yield
    finally:
        _watch.folder = None
    assert not _watch.seen, _watch.seen
