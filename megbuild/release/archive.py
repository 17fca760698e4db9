"""Archives whose bytes depend on nothing but the names and contents in them, and one time."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from megbuild.errors import FAILED, fail
from megbuild.store.digests import Digest, digest_bytes
from megbuild.store.durable import placing

LEVEL = 10
"""Of zstd. A change gives other bytes: it is one of the format."""
TAR, ZIP = ".tar.zst", ".zip"
_ZIP_EPOCH = 315532800
"""1980 in seconds: a zip knows no earlier time."""


@dataclass(frozen=True)
class Piece:
    """A file of a bundle: its digest, and its bytes or the file that holds them."""

    digest: Digest
    content: bytes | Path
    executable: bool = False

    @staticmethod
    def of(content: bytes, *, executable: bool = False) -> Piece:
        """A file that is made here."""
        return Piece(digest_bytes(content), content, executable)

    def read(self) -> bytes:
        """Its bytes, checked against the digest."""
        content = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
        if digest_bytes(content) != self.digest:
            raise fail("MB702", f"{self.content!s:.200} changed while it was packed", "release again", status=FAILED)
        return content


def write(pieces: Mapping[str, Piece], target: Path, seconds: int) -> None:
    """Pack files in the order of their names; every time in the archive is ``seconds``.

    One thread compresses: a number of threads would show in the bytes. A zip is not compressed at all, because the
    library that would do it differs between machines.
    """
    folded: dict[str, str] = {}
    for name in pieces:
        if (other := folded.setdefault(name.casefold(), name)) != name:
            message = f"{other} and {name} would be one file on a disk that does not tell capitals from small letters"
            raise fail("MB616", message, "give one of them another name", status=FAILED)
    with placing(target) as descriptor, open(descriptor, "wb", closefd=False) as raw:
        (_zip if target.name.endswith(ZIP) else _tar)(pieces, raw, seconds)


def _ordered(pieces: Mapping[str, Piece]) -> list[str]:
    return sorted(pieces, key=lambda name: name.encode())


def _tar(pieces: Mapping[str, Piece], raw: BinaryIO, seconds: int) -> None:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=0, write_checksum=True)
    with (
        compressor.stream_writer(raw, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in _ordered(pieces):
            content = pieces[name].read()
            entry = tarfile.TarInfo(name)  # owner, group and their names are 0 and empty
            entry.size, entry.mtime = len(content), seconds
            entry.mode = 0o755 if pieces[name].executable else 0o644
            archive.addfile(entry, io.BytesIO(content))


def _zip(pieces: Mapping[str, Piece], raw: BinaryIO, seconds: int) -> None:
    when = time.gmtime(max(seconds, _ZIP_EPOCH))[:6]
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for name in _ordered(pieces):
            entry = zipfile.ZipInfo(name, when)
            entry.create_system = 3  # Unix, on every machine
            entry.external_attr = (0o100755 if pieces[name].executable else 0o100644) << 16
            archive.writestr(entry, pieces[name].read())


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The tar inside of a .tar.zst as a stream."""
    import zstandard

    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        yield stream
