"""What was written gets to the disk, with its name, before what tells of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from megbuild.errors import MegbuildError
from megbuild.store.syncing import AT_ONCE, Batches


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def files(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}" for number in range(count)]
    for path in paths:
        path.touch()
    return paths


def test_at_once(tmp_path: Path, synced: list[str]) -> None:
    (path,) = files(tmp_path / "a", 1)
    AT_ONCE.file(path)
    assert synced == ["0", "a"]
    AT_ONCE.afterwards(lambda: synced.append("call"))
    assert synced == ["0", "a", "call"]


def test_a_batch_is_every_file_then_each_folder_once_then_what_waits_for_it(tmp_path: Path, synced: list[str]) -> None:
    batches = Batches(60)
    for path in files(tmp_path / "a", 3):
        batches.file(path)
        batches.afterwards(mark)
    mark.seen = synced
    assert synced == []
    batches.settle()
    assert synced == ["0", "1", "2", "a", "call"]
    batches.settle()
    batches.file(tmp_path / "a/0")  # it begins anew
    batches.settle()
    assert synced[5:] == ["0", "a"]


class _Mark:
    seen: list[str]

    def __call__(self) -> None:
        self.seen.append("call")


mark = _Mark()


def test_nobody_has_to_settle_what_is_older_than_the_pause(tmp_path: Path, synced: list[str]) -> None:
    batches = Batches(0.01)
    batches.file(files(tmp_path / "a", 1)[0])
    deadline = time.monotonic() + 10
    while synced != ["0", "a"]:
        assert time.monotonic() < deadline, synced
        time.sleep(0.01)


def test_a_file_that_has_gone_is_nothing_to_wait_for(tmp_path: Path, synced: list[str]) -> None:
    batches = Batches(60)
    batches.file(tmp_path / "gone")
    batches.settle()
    assert synced == [tmp_path.name]


def test_a_disk_that_fails_is_told_once_and_what_waits_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    called: list[int] = []
    batches = Batches(60)
    monkeypatch.setattr(os, "fsync", fail)
    batches.file(files(tmp_path / "a", 1)[0])
    batches.afterwards(lambda: called.append(1))
    with pytest.raises(MegbuildError, match=r"cannot write .*a/0: Input/output error"):
        batches.settle()
    batches.settle()
    assert called == []


def test_threads_lose_nothing(tmp_path: Path, synced: list[str]) -> None:
    batches, paths = Batches(0.0005), files(tmp_path / "a", 400)

    def some(start: int) -> None:
        for path in paths[start::4]:
            batches.file(path)

    threads = [threading.Thread(target=some, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batches.settle()
    assert sorted(set(synced) - {"a"}) == sorted(path.name for path in paths)
