"""The same archive from any clone of a commit, whatever else differs. The variations are those that a user's machine has."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Shop


def digests(folder: Path) -> dict[str, str]:
    """The archives of a release."""
    found = sorted((folder / "dist").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_another_clone_folder_umask_zone_locale_jobs_order_and_a_cold_cache_give_the_same_archives(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.release("edge", zip=True, jobs=1)
    first = digests(shop.root)
    assert set(first) == {"edge-1.2.0.tar.zst", "edge-1.2.0.zip"}
    for number, (mask, zone, jobs) in enumerate(((0o077, "Asia/Tokyo", 4), (0o002, "America/St_Johns", 1))):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        monkeypatch.setenv("LC_ALL", "C")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NOISE", "x" * 5000)
        monkeypatch.setenv("MEGBUILD_CACHE", str(tmp_path / f"cold{number}"))
        listing = os.scandir
        monkeypatch.setattr(os, "scandir", lambda *path, real=listing: _backwards(real(*path)))
        with umask(mask):
            clone = shop.clone(tmp_path / f"quite another folder {number}")
            clone.release("edge", zip=True, jobs=jobs)
        monkeypatch.setattr(os, "scandir", listing)
        assert digests(clone.root) == first
    monkeypatch.undo()
    time.tzset()


class _backwards:
    """A listing in the other order."""

    def __init__(self, entries: object) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)  # type: ignore[call-overload]

    def __iter__(self) -> Iterator[object]:
        return iter(self.entries)

    def __next__(self) -> object:
        return self.entries.pop(0) if self.entries else next(iter(()))

    def __enter__(self) -> _backwards:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def close(self) -> None:
        return None


def test_a_warm_and_a_second_release_are_the_same(shop: Shop) -> None:
    first = shop.release("edge").read_bytes()
    assert shop.release("edge").read_bytes() == first
    shutil.rmtree(shop.root / "out")
    shutil.rmtree(shop.root / ".megbuild")
    assert shop.release("edge", jobs=3).read_bytes() == first


PACK = """
import sys, os
from pathlib import Path
from megbuild.release.archive import Piece, write
names = set(sys.argv[2:])  # a set: its order follows the hash seed
pieces = {name: Piece.of(name.encode() * 1000, executable=name == "b/verify.py") for name in names}
write(pieces, Path(sys.argv[1], "a.tar.zst"), 1700000001)
write(pieces, Path(sys.argv[1], "a.zip"), 1700000001)
"""


def test_hash_seed_user_and_processors_do_not_show_in_an_archive(tmp_path: Path) -> None:
    names = ["b/verify.py", "a/ü.mge", "a/z", "a/" + "long" * 40, "B/x"]
    found = []
    for seed, order, cores in (("0", 1, {0}), ("1", -1, os.sched_getaffinity(0)), ("77", 1, {0})):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {"PYTHONHASHSEED": seed, "PATH": os.environ["PATH"], "USER": f"u{seed}", "HOME": str(folder)}
        command = [sys.executable, "-c", PACK, str(folder), *names[::order]]
        subprocess.run(
            command, env=environment, check=True, preexec_fn=lambda cores=cores: os.sched_setaffinity(0, cores)
        )
        found.append([hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.tar.zst", "a.zip")])
    assert found[0] == found[1] == found[2]


def test_an_archive_unpacks_as_packed(tmp_path: Path) -> None:
    from megbuild.release.archive import Piece, write
    from megbuild.release.verify import unpack

    pieces = {"a/x": Piece.of(b"1"), "a/run.py": Piece.of(b"2", executable=True), "a/" + "d/" * 60 + "y": Piece.of(b"")}
    for name in ("a.tar.zst", "a.zip"):
        write(pieces, tmp_path / name, 0)
        folder = unpack(tmp_path / name, tmp_path / f"of {name}")
        there = {path.relative_to(folder.parent).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        assert {name: path.read_bytes() for name, path in there.items()} == {
            name: piece.read() for name, piece in pieces.items()
        }
