"""The content store under damage, crashes and company."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbuild.errors import MegbuildError
from megbuild.store.content import ContentStore, Corrupt, Missing
from megbuild.store.digests import Digest, digest_bytes, digest_file, stamp


def blobs(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cas").glob("??/*") if not path.name.startswith("."))


def test_a_content_comes_back(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    (tmp_path / "model.tm").write_bytes(b"weights" * 400_000)
    digest = store.put_file(tmp_path / "model.tm")
    assert digest == digest_file(tmp_path / "model.tm") == digest_bytes(b"weights" * 400_000)
    assert store.has(digest) and store.read(digest) == b"weights" * 400_000
    assert store.put_bytes(b"weights" * 400_000) == digest
    assert blobs(tmp_path / "store") == [store.path(digest)]
    assert store.path(digest).stat().st_mode & 0o777 == 0o444
    assert list((tmp_path / "store/cas/incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("executable", "writable", "mode"),
    [(False, True, 0o644), (True, True, 0o755), (False, False, 0o444), (True, False, 0o555)],
)
def test_a_copy_has_the_mode_asked_for_and_is_no_link(
    tmp_path: Path, executable: bool, writable: bool, mode: int
) -> None:
    store = ContentStore(tmp_path / "store")
    digest = store.put_bytes(b"tool")
    mask = os.umask(0o022)
    try:
        seen = store.materialise(digest, tmp_path / "out/deep/tool", executable=executable, writable=writable)
    finally:
        os.umask(mask)
    copy = tmp_path / "out/deep/tool"
    assert copy.stat().st_mode & 0o777 == mode
    assert copy.stat().st_nlink == 1 and not copy.samefile(store.path(digest))
    assert stamp(copy) == seen
    assert [path.name for path in copy.parent.iterdir()] == ["tool"]


def test_editing_a_copy_leaves_the_store_alone_and_shows_in_the_stamp(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store")
    digest = store.put_bytes(b"good")
    for _ in range(50):
        seen = store.materialise(digest, tmp_path / "model")
        (tmp_path / "model").write_bytes(b"evil")  # at once, and of the same size
        now = stamp(tmp_path / "model")
        assert now and now.mtime_ns != seen.mtime_ns
    assert store.read(digest) == b"good"


def test_a_failed_clone_falls_back_to_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ContentStore(tmp_path / "store")
    cloned: list[int] = []

    def clone(target: int, request: int, source: int) -> int:
        cloned.append(request)
        os.write(target, os.pread(source, 100, 0))  # what a file system that shares blocks would show
        os.lseek(target, 0, os.SEEK_SET)
        return 0

    digest = store.put_bytes(b"shared")
    store.materialise(digest, tmp_path / "copied")
    monkeypatch.setattr(fcntl, "ioctl", clone)
    store.materialise(digest, tmp_path / "cloned")
    assert cloned == [0x40049409]
    assert (tmp_path / "copied").read_bytes() == (tmp_path / "cloned").read_bytes() == b"shared"


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    for ask in (store.path, store.read, lambda digest: store.materialise(digest, tmp_path / "out/model")):
        with pytest.raises(Missing, match="is not in the store"):
            ask(digest_bytes(b"nothing"))
    assert not (tmp_path / "out").exists()


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_flipped_bit_is_noticed_named_and_removed(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) * 8 - 1))
    with tempfile.TemporaryDirectory() as folder:
        store = ContentStore(Path(folder))
        digest = store.put_bytes(content)
        damage(store.path(digest), at)
        to = Path(folder, "model")
        to.write_bytes(b"what was there before")
        with pytest.raises(Corrupt, match=digest.sha256):
            store.materialise(digest, to)
        assert to.read_bytes() == b"what was there before"
        assert not store.has(digest)
        store.put_bytes(content)
        damage(store.path(digest), at)
        with pytest.raises(Corrupt, match=digest.sha256):
            store.read(digest)
        assert store.put_bytes(content) == digest and store.read(digest) == content


def damage(blob: Path, bit: int) -> None:
    content = bytearray(blob.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    blob.chmod(0o644)
    blob.write_bytes(content)


def test_a_truncated_blob_is_not_had_and_put_again(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    digest = store.put_bytes(b"model")
    blob = store.path(digest)
    blob.chmod(0o644)
    os.truncate(blob, 2)
    assert not store.has(digest)
    store.put_bytes(b"model")
    assert store.read(digest) == b"model"


def test_two_processes_put_the_same_blob(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    content, start = os.urandom(300_000), context.Barrier(2)
    workers = [context.Process(target=_put_only, args=(str(tmp_path), content, start)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = ContentStore(tmp_path)
    assert blobs(tmp_path) == [store.path(digest_bytes(content))]
    assert store.read(digest_bytes(content)) == content


def _put_only(folder: str, content: bytes, start: Barrier) -> None:
    source = Path(folder, f"source{os.getpid()}")
    source.write_bytes(content)
    start.wait()
    for _ in range(20):
        store = ContentStore(Path(folder))
        assert store.read(store.put_file(source)) == content
        assert store.read(store.put_bytes(content)) == content


_PUT_FOREVER = """
import os, sys
from pathlib import Path
from megbuild.store.content import ContentStore
store = ContentStore(Path(sys.argv[1]))
source = Path(sys.argv[1], "source")
print("ready", flush=True)
while True:
    content = os.urandom(200_000)
    source.write_bytes(content)
    store.materialise(store.put_file(source), Path(sys.argv[1], "out", "model"))
    store.put_bytes(content[:1000])
    print("again", flush=True)
"""


def test_kill_leaves_only_whole_blobs_and_copies(tmp_path: Path) -> None:
    for round_ in range(20):
        process = subprocess.Popen([sys.executable, "-c", _PUT_FOREVER, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout and process.stdout.readline() == b"ready\n"
        assert process.stdout.readline() == b"again\n"
        time.sleep(0.002 * round_)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    store = ContentStore(tmp_path)
    found = blobs(tmp_path)
    assert len(found) > 20
    for blob in found:
        assert store.read(Digest(blob.name, blob.stat().st_size))
    assert store.has(digest_file(tmp_path / "out/model"))
    store.sweep(older_than_s=-60)
    assert list((tmp_path / "cas/incoming").iterdir()) == []
    assert blobs(tmp_path) == found
    assert not list((tmp_path / "cas").glob("??/.*"))


def test_a_store_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "cas").write_text("a file where a folder should be")
    with pytest.raises(MegbuildError, match=r"cannot write .*cas.* \[MB602\]"):
        ContentStore(tmp_path).put_bytes(b"model")
