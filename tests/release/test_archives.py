"""Archives of a release that were made to write elsewhere, or to fill a disk or a memory, are refused and leave nothing."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from megbuild.errors import MegbuildError
from megbuild.release import archive, verify
from megbuild.release.archive import Piece

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")
Members = list[tuple[str, bytes, int]]
"""Names, contents, and the type of the file as ``stat`` has it."""
FILE, LINK = stat.S_IFREG, stat.S_IFLNK
GOOD: Members = [("net-1/SHA256SUMS", b"x", FILE), ("net-1/a/b.mge", b"abc", FILE)]


def zipped(members: Members, to: Path) -> Path:
    path = to / "net-1.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content, kind in members:
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.external_attr, entry.compress_type = name, (kind | 0o644) << 16, zipfile.ZIP_DEFLATED
            opened.writestr(entry, content)
    return path


_TYPES = {
    FILE: tarfile.REGTYPE, LINK: tarfile.SYMTYPE, stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE, 0: tarfile.LNKTYPE,
}  # fmt: skip


def tarred(members: Members, to: Path) -> Path:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as opened:
        for name, content, kind in members:
            entry = tarfile.TarInfo(name)
            entry.type = _TYPES[kind]
            entry.size, entry.linkname = (len(content), "") if kind == FILE else (0, content.decode())
            opened.addfile(entry, io.BytesIO(content))
    return compressed(out.getvalue(), to)


def compressed(content: bytes, to: Path) -> Path:
    path = to / "net-1.tar.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(content))
    return path


PACK: dict[str, Callable[[Members, Path], Path]] = {"zip": zipped, "tar": tarred}


@pytest.fixture
def to(tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    return tmp_path / "to"


def refused(path: Path, to: Path) -> str:
    """What is said; nothing may lie beside the folder that it was unpacked to."""
    before = {entry.name for entry in path.parent.iterdir()}
    begun = time.process_time()
    with pytest.raises(verify.Unsound) as error:
        verify.unpack(path, to)
    assert time.process_time() - begun < 10
    assert {entry.name for entry in path.parent.iterdir()} == before
    assert not [entry for entry in to.rglob("*") if entry.is_symlink()]
    return str(error.value)


@pytest.mark.parametrize("pack", PACK)
def test_a_good_one_is_unpacked(pack: str, to: Path, tmp_path: Path) -> None:
    assert (verify.unpack(PACK[pack](GOOD, tmp_path), to) / "a/b.mge").read_bytes() == b"abc"


BAD: dict[str, Members] = {
    "a parent": [("net-1/../../x", b"x", FILE)],
    "a parent at the end": [("net-1/..", b"x", FILE)],
    "absolute": [("/tmp/x", b"x", FILE)],
    "two slashes": [("//tmp/x", b"x", FILE)],
    "a dot": [("net-1/./x", b"x", FILE)],
    "an empty part": [("net-1//x", b"x", FILE)],
    "no folder": [("x", b"x", FILE)],
    "a backslash": [("net-1/..\\..\\x", b"x", FILE)],
    "a newline": [("net-1/a\nb", b"x", FILE)],
    "a terminal's": [("net-1/\x1b[2J", b"x", FILE)],
    "a direction": [("net-1/\u202eb", b"x", FILE)],
    "a long name": [("net-1/" + "n" * 256, b"x", FILE)],
    "twice": [("net-1/a", b"x", FILE), ("net-1/a", b"y", FILE)],
    "twice in other letters": [("net-1/A", b"x", FILE), ("net-1/a", b"y", FILE)],
    "a file that is a folder": [("net-1/a", b"x", FILE), ("net-1/a/b", b"y", FILE)],
    "a link": [("net-1/l", b"/tmp", LINK)],
    "a link and through it": [("net-1/l", b"/tmp", LINK), ("net-1/l/x", b"x", FILE)],
    "a pipe": [("net-1/p", b"", stat.S_IFIFO)],
    "a device": [("net-1/d", b"", stat.S_IFCHR)],
}


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize("what", BAD)
def test_what_is_no_plain_file_of_its_folder(pack: str, what: str, to: Path, tmp_path: Path) -> None:
    assert refused(PACK[pack](BAD[what], tmp_path), to)


def test_a_hard_link_and_through_it(to: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    assert "no plain file" in refused(
        tarred([("net-1/h", str(secret).encode(), 0), ("net-1/h", b"x", FILE)], tmp_path), to
    )
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("pack", PACK)
def test_a_member_does_not_write_through_what_lies_there(pack: str, to: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (to / "net-1").symlink_to(tmp_path / "outside")
    path = PACK[pack]([("net-1/a", b"x", FILE)], tmp_path)
    (tmp_path / "outside/a").symlink_to(tmp_path / "victim")
    with pytest.raises(verify.Unsound):
        verify.unpack(path, to)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("pack", PACK)
def test_what_unpacks_to_far_more_than_its_size(
    pack: str, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "LEAST_ROOM", 1_000_000)
    path = PACK[pack]([(f"net-1/{n}", bytes(4_000_000), FILE) for n in range(4)], tmp_path)
    assert path.stat().st_size < 40_000
    assert "made to fill a disk" in refused(path, to)
    assert sum(entry.stat().st_size for entry in to.rglob("*") if entry.is_file()) <= verify.MOST_TIMES * 40_000


def test_headers_that_fill_a_memory(to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LEAST_ROOM", 1_000_000)
    monkeypatch.setattr(verify, "MOST_TIMES", 1)
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    path = compressed(header.tobuf() + bytes(8_000_000), tmp_path)
    assert "fill a memory" in refused(path, to)


def test_a_sparse_member(to: Path, tmp_path: Path) -> None:
    """A tar says that a file of 1 TB has a few bytes."""
    header = tarfile.TarInfo("net-1/s")
    header.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "net-1/s",
                          "GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1"}  # fmt: skip
    header.size = 1
    content = header.tobuf(tarfile.PAX_FORMAT) + b"x".ljust(512, b"\0") + bytes(1024)
    assert "no plain file" in refused(compressed(content, tmp_path), to)


def test_more_files_than_a_release_has(to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MOST_FILES", 20)
    assert "more than 20 files" in refused(zipped([(f"net-1/{n:03}", b"", FILE) for n in range(30)], tmp_path), to)


def test_documents_that_are_no_plain_files(tmp_path: Path) -> None:
    (tmp_path / "net-1").mkdir()
    os.mkfifo(tmp_path / "net-1/SHA256SUMS")
    with pytest.raises(verify.Unsound):
        list(verify.check(tmp_path / "net-1", None, None))
    (tmp_path / "net-1/SHA256SUMS").unlink()
    (tmp_path / "net-1/SHA256SUMS").touch()
    os.truncate(tmp_path / "net-1/SHA256SUMS", 1 << 40)
    with pytest.raises(verify.Unsound):
        list(verify.check(tmp_path / "net-1", None, None))


def test_a_release_does_not_have_names_that_differ_in_capitals_only(tmp_path: Path) -> None:
    with pytest.raises(MegbuildError, match="MB616"):
        archive.write({"net-1/a": Piece.of(b""), "net-1/A": Piece.of(b"")}, tmp_path / "net-1.zip", 0)
    assert not (tmp_path / "net-1.zip").exists()


@pytest.mark.parametrize("commit", ["--help", "-x", "HEAD", "a" * 39, "a" * 40 + "\n", "../x", "--upload-pack=touch x"])
def test_a_commit_of_a_release_is_no_option_of_git(commit: str, tmp_path: Path) -> None:
    from megbuild.release.commit import check_out

    with pytest.raises(MegbuildError, match="MB701"):
        check_out(Path(__file__).parent, commit, tmp_path / "to")
    assert not (tmp_path / "to").exists()
