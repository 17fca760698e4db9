"""Bringing what was written to the disk: at once, or for a whole build by a thread of its own, many files at a time.

Nothing is wrong when the power fails before that. Contents, records and lines of the journal are checked whenever
they are read, so what did not get to the disk is made again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from megbuild.errors import MegbuildError
from megbuild.store.durable import make_folders, placing, sync_folder, unwritable, write_all

PAUSE = 0.5
"""Seconds between one batch and the next one: what is lost with the power is not much older."""


class Syncs:
    """Syncs at once."""

    def place(self, path: Path, content: bytes, *, mode: int) -> None:
        """Place a file whole, to survive a power failure with the folders above it; raises MB602."""
        self.make(path.parent)
        with placing(path, mode=mode, durable=False) as target:
            write_all(target, content)
        self.file(path)

    def file(self, path: Path) -> None:
        """A file that has got its name: its content and its name are to survive a power failure; raises MB602."""
        _sync(path)
        self.folder(path.parent)

    def make(self, folder: Path) -> None:
        """Make a folder, with those above it, to survive a power failure; raises MB602."""
        try:
            above = make_folders(folder)
        except OSError as error:
            raise unwritable(folder, error) from error
        for parent in above:
            self.folder(parent)

    def folder(self, path: Path) -> None:
        """Names that were given in a folder are to survive a power failure."""
        try:
            sync_folder(path)
        except OSError as error:
            raise unwritable(path, error) from error

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call it when everything so far is on the disk."""
        call()

    def settle(self) -> None:
        """Wait until everything is; raises what went wrong."""


AT_ONCE = Syncs()


class Batches(Syncs):
    """Syncs in batches: the file system writes out once what many files and folders wait for. Threads may share it."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._files: dict[Path, None] = {}
        self._folders: dict[Path, None] = {}
        self._calls: dict[Callable[[], None], None] = {}
        self._error: MegbuildError | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._settling = False

    def file(self, path: Path) -> None:
        """See :class:`Syncs`; what goes wrong is raised when it is settled."""
        with self._changed:
            self._files[path] = self._folders[path.parent] = None
            self._start()

    def folder(self, path: Path) -> None:
        """See :class:`Syncs`."""
        with self._changed:
            self._folders[path] = None
            self._start()

    def afterwards(self, call: Callable[[], None]) -> None:
        """See :class:`Syncs`."""
        with self._changed:
            self._calls[call] = None
            self._start()

    def settle(self) -> None:
        """See :class:`Syncs`; for one thread, when the others are done."""
        with self._changed:
            self._settling = True
            self._changed.notify()
            thread = self._thread
        if thread:
            thread.join()
        self._settling = False
        error, self._error = self._error, None
        if error:
            raise error

    def _start(self) -> None:
        if not self._thread:
            self._thread = threading.Thread(target=self._work, name="syncs", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        """Batch after batch, until there is none."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._settling, self._pause)
                files, self._files = self._files, {}
                folders, self._folders = self._folders, {}
                calls, self._calls = self._calls, {}
                if not (files or folders or calls):
                    self._thread = None
                    return
            try:
                for path in files:
                    _sync(path)
                for path in folders:
                    super().folder(path)
                for call in calls:
                    call()
            except MegbuildError as error:
                self._error = error


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:  # it was removed since
        return
    except OSError as error:
        raise unwritable(path, error) from error
