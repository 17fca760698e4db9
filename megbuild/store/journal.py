"""The journal: one line for each action as it finishes, on the disk before anything is said about it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from megbuild.store.durable import sync_folder, unwritable, write_all


class Journal:
    """Lines of text that survive the death of the process; each carries a checksum. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._lock = threading.Lock()

    def append(self, line: bytes) -> None:
        """Add a line, which has no newline in it. It outlives this process, and the machine when it is synced."""
        if b"\n" in line:
            raise ValueError("a journal line is one line")
        with self._lock:
            try:
                if self._descriptor < 0:
                    self._descriptor = self._open()
                write_all(self._descriptor, b"%08x %s\n" % (crc32(line), line))
            except OSError as error:
                self._close()  # the line may be torn: opening again ends it
                raise unwritable(self.path, error) from error

    def sync(self) -> None:
        """Every line so far survives a power failure from here on."""
        with self._lock:
            descriptor = os.dup(self._descriptor) if self._descriptor >= 0 else -1
        if descriptor < 0:
            return
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            raise unwritable(self.path, error) from error
        finally:
            os.close(descriptor)

    def replay(self) -> Iterator[bytes]:
        """The whole lines, in order, one at a time. A line that was torn by a crash is left out: its action was in flight."""
        try:
            stored = self.path.open("rb")
        except FileNotFoundError:
            return
        with stored:
            for line in stored:
                said = line[9:-1]
                if line[-1:] == b"\n" and line[:9] == b"%08x " % crc32(said):
                    yield said

    def size(self) -> int:
        """Its length in bytes."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def clear(self) -> None:
        """Forget every line: what they said is kept elsewhere."""
        with self._lock:
            self._close()
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        size = os.fstat(descriptor).st_size
        if not size:
            sync_folder(self.path.parent)  # else a power failure could take the file with all of its lines
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            write_all(descriptor, b"\n")  # ends a torn line, so that the next one stands by itself
        return descriptor
