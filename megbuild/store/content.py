"""The content store: every blob once, by its digest, shared by the workspaces and processes of a user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from megbuild.store.digests import QUIET, Digest, Stamp, digest_bytes, digest_descriptor, pieces, stamp, stamp_of
from megbuild.store.durable import discard, placing, unwritable, write_all
from megbuild.store.syncing import AT_ONCE, Syncs

_CLONE = 0x40049409
"""The ioctl that makes one file share another's blocks (FICLONE), where the file system can."""
_READ_ONLY = 0o444
_SMALL = 1 << 16
"""Bytes up to which a file is taken into memory: nothing is written when the store has it, as with most logs."""


class Missing(LookupError):
    """A blob that is not in the store; the message says which."""


class Corrupt(Missing):
    """A blob that was damaged on the disk. It has been removed: it is missing now."""


class ContentStore:
    """Blobs under ``folder/cas/<two digits>/<sha256>``, read-only, placed whole or not at all.

    Every method may be called by several threads and processes at once.
    """

    def __init__(self, folder: Path, syncs: Syncs = AT_ONCE) -> None:
        self._folder = folder / "cas"
        self._syncs = syncs

    def put_bytes(self, content: bytes) -> Digest:
        """Store a content; nothing is written when the store has it."""
        digest = digest_bytes(content)
        if not self.has(digest):
            self._syncs.place(self._blob(digest), content, mode=_READ_ONLY)
        return digest

    def put_file(self, path: str | os.PathLike[str]) -> Digest:
        """Store what a file holds; even if it changes meanwhile, the digest is of the bytes that were stored."""
        part = self._folder / "incoming" / os.urandom(6).hex()
        with _opened(path) as source:
            if os.fstat(source).st_size <= _SMALL:
                return self.put_bytes(_whole(source))
            with placing(part, mode=_READ_ONLY, durable=False) as target:
                digest = _copy(source, target)
        blob = self._blob(digest)
        try:
            if self.has(digest):
                part.unlink()
            else:
                self._syncs.make(blob.parent)
                part.rename(blob)
                self._syncs.file(blob)
        except BaseException as error:
            discard(part)
            if isinstance(error, OSError):
                raise unwritable(blob, error) from error
            raise
        return digest

    def has(self, digest: Digest) -> bool:
        """Whether a blob of this digest and size is there; its bytes are checked when it is read."""
        try:
            return self._blob(digest).stat().st_size == digest.size
        except (FileNotFoundError, NotADirectoryError):
            return False

    def check(self, digest: Digest) -> None:
        """Read a whole blob; raises Missing or Corrupt."""
        with self._open(digest) as source:
            self._check(source, digest, digest_descriptor(source))

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, to be read only; raises Missing. The bytes are unchecked: prefer the methods below."""
        if not self.has(digest):
            raise Missing(f"{digest.sha256} is not in the store")
        return self._blob(digest)

    def read(self, digest: Digest) -> bytes:
        """The whole content, checked; raises Missing or Corrupt."""
        with self._open(digest) as source:
            content = _whole(source)
            self._check(source, digest, digest_bytes(content))
        return content

    def materialise(self, digest: Digest, to: Path, *, executable: bool = False, writable: bool = True) -> Stamp:
        """Place a checked copy at ``to`` and return its stamp; raises Missing or Corrupt, and then touches nothing.

        It is a copy even where blocks are shared: editing it never reaches the store. Its modification time lies just
        before the copy, so that any later write shows in the stamp, however soon it comes.
        """
        mode = (0o666 if writable else _READ_ONLY) | (0o111 if executable else 0)
        with self._open(digest) as source, placing(to, mode=mode, durable=False) as target:
            self._check(source, digest, _copy(source, target))
            before = time.time_ns() - 2 * QUIET
            os.utime(target, ns=(before, before))
            placed = stamp_of(os.fstat(target))
        found = stamp(to)  # getting its name has moved the time of the last change
        return placed._replace(ctime_ns=found.ctime_ns) if found else placed

    def copy(self, digest: Digest, to: Path) -> None:
        """Make a checked, read-only copy that nobody looks at before it is whole; raises Missing or Corrupt."""
        with self._open(digest) as source:
            target = os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _READ_ONLY)
            try:
                self._check(source, digest, _copy(source, target))
            finally:
                os.close(target)

    def room(self) -> int:
        """The bytes that can still be written where it lies."""
        folder = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        told = os.statvfs(folder)
        return told.f_bavail * told.f_frsize

    def all(self) -> Iterator[tuple[Path, int, float]]:
        """Every blob: where it lies (its name is its SHA-256), its size in bytes, and when it came."""
        for path in sorted(self._folder.glob("??/[!.]*")):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield path, status.st_size, status.st_mtime

    def verify(self) -> Iterator[str]:
        """Read every blob; a damaged one is removed, and told in a sentence."""
        for path, size, _ in self.all():
            try:
                self.check(Digest(path.name, size))
            except Corrupt as damage:
                yield str(damage)
            except Missing:  # somebody has removed it meanwhile
                continue

    def remove(self, sha256: str) -> None:
        """Remove a blob; nobody uses the cache."""
        with suppress(FileNotFoundError):
            (self._folder / sha256[:2] / sha256).unlink()

    def sweep(self, older_than_s: float = 86400.0) -> None:
        """Remove what processes that were killed left half-written."""
        limit = time.time() - older_than_s
        records = self._folder.parent / "ac"
        for part in [*self._folder.glob("incoming/*"), *self._folder.glob("*/.*.part"), *records.glob("*/.*.part")]:
            with suppress(FileNotFoundError):
                if part.stat().st_mtime <= limit:
                    part.unlink()

    def _blob(self, digest: Digest) -> Path:
        return self._folder / digest.sha256[:2] / digest.sha256

    @contextmanager
    def _open(self, digest: Digest) -> Iterator[int]:
        with ExitStack() as stack:
            try:
                source = stack.enter_context(_opened(self._blob(digest)))
            except FileNotFoundError:
                raise Missing(f"{digest.sha256} is not in the store") from None
            yield source

    def _check(self, source: int, digest: Digest, found: Digest) -> None:
        if found == digest:
            return
        blob = self._blob(digest)
        with suppress(FileNotFoundError):
            if os.path.samestat(blob.stat(), os.fstat(source)):  # else somebody has put a sound one there meanwhile
                blob.unlink()
        raise Corrupt(f"{blob} was damaged on the disk (its content is now {found.sha256}); it has been removed")


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _whole(source: int) -> bytes:
    return b"".join(map(bytes, pieces(source)))


def _copy(source: int, target: int) -> Digest:
    """Copy an open file, sharing its blocks where the file system can, and give the digest of what was copied."""
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return _copy_hashing(source, target)
    return digest_descriptor(target)


def _copy_hashing(source: int, target: int) -> Digest:
    hashed, size = hashlib.sha256(), 0
    for piece in pieces(source):
        hashed.update(piece)
        write_all(target, piece)
        size += len(piece)
    return Digest(hashed.hexdigest(), size)
