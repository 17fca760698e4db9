"""The one view of the disk: what is read, remembered, and noticed."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbuild.errors import MegbuildError
from megbuild.store import files as module
from megbuild.store.digests import QUIET, Digest, Stamp, digest_bytes, stamp
from megbuild.store.files import Files, Known


def age(path: Path) -> None:
    """Wait until a file's last change is long enough ago for its stamp to be trusted."""
    time.sleep(max(0.0, (path.stat().st_ctime_ns + QUIET - time.time_ns()) / 1e9) + 0.001)


def test_the_first_look_decides(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("a = 1\n")
    files = Files(tmp_path)
    assert files.digest("train.py") == digest_bytes(b"a = 1\n")
    assert files.digest(str(path)) == digest_bytes(b"a = 1\n")
    assert files.read("train.py") == b"a = 1\n" and files.text("train.py") == "a = 1\n"
    assert not files.exists("gone.py") and files.digest("gone.py") is None and files.text("gone.py") is None
    path.write_text("b = 1\n")
    (tmp_path / "gone.py").touch()
    assert files.text("train.py") == "a = 1\n" and files.digest("train.py") == digest_bytes(b"a = 1\n")
    assert not files.exists("gone.py")
    assert files.moved() == [str(path), "gone.py", "train.py"]
    assert not files.settled


def test_a_text_that_changed_between_two_looks_has_moved(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("a = 1\n")
    files = Files(tmp_path)
    files.digest("train.py")
    path.write_text("b = 1\n")
    assert files.text("train.py") == "b = 1\n"
    path.write_text("a = 1\n")  # and back again: what was read in between was still something else
    assert files.moved() == ["train.py"]


def test_what_is_watched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npy").write_bytes(b"1")
    files = Files(tmp_path)
    assert files.glob("*.npy", "data") == ("data/a.npy",)
    files.digest("data/a.npy")
    files.digest("labels.txt")
    assert files.exists("data")
    assert files.digest("data") is None  # a folder is no file
    assert dict(files.watched) == {
        "data": stamp(tmp_path / "data"),
        "data/a.npy": stamp(tmp_path / "data/a.npy"),
        "labels.txt": None,
    }
    assert files.moved() == [] and files.settled


def test_a_known_stamp_spares_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")
    age(tmp_path / "a")
    known: dict[str, Known] = {}
    first = Files(tmp_path, known).digest("a")
    assert first == digest_bytes(b"1") and known == {"a": (stamp(tmp_path / "a"), first.sha256)}
    monkeypatch.setattr(Files, "_hash", lambda *_: pytest.fail("read again"))
    assert Files(tmp_path, known).digest("a") == first
    (tmp_path / "a").unlink()
    assert Files(tmp_path, known).digest("a") is None and known == {}


def test_a_touch_is_no_change_and_costs_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")
    age(tmp_path / "a")
    known: dict[str, Known] = {}
    files = Files(tmp_path, known)
    files.digest("a")
    (tmp_path / "a").touch()
    assert files.moved() == []
    assert files.watched["a"] == stamp(tmp_path / "a")
    monkeypatch.setattr(Files, "_hash", lambda *_: pytest.fail("read again"))
    if files.settled:
        assert Files(tmp_path, known).digest("a") == digest_bytes(b"1")


class CoarseClock:
    """A file system whose times step by 10 ms, under a clock that only moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000_005_000_000
        self.changed: dict[int, int] = {}
        monkeypatch.setattr(module, "stamp_of", self.stamp_of)
        monkeypatch.setattr(module, "stamp", lambda path: self.stamp_of(Path(path).stat()))
        monkeypatch.setattr(time, "time_ns", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.changed[path.stat().st_ino] = self.now // 10_000_000 * 10_000_000 + 1  # 1: steps, but no whole second

    def stamp_of(self, status: os.stat_result) -> Stamp:
        changed = self.changed[status.st_ino]
        return Stamp(changed, changed, status.st_size, status.st_ino)

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


def test_a_change_that_hides_behind_an_equal_stamp_is_noticed_by_the_next_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, known = CoarseClock(monkeypatch), dict[str, Known]()
    path = tmp_path / "a"
    clock.write(path, b"1")
    assert Files(tmp_path, known).digest("a") == digest_bytes(b"1")
    clock.now += 1_000_000
    clock.write(path, b"2")  # the same stamp
    assert Files(tmp_path, known).digest("a") == digest_bytes(b"2")
    clock.now += 100_000_000
    assert Files(tmp_path, known).digest("a") == digest_bytes(b"2")
    assert known["a"][1] == digest_bytes(b"2").sha256


def test_a_change_that_hides_behind_an_equal_stamp_is_noticed_by_settling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = CoarseClock(monkeypatch)
    for name in ("a", "b"):
        clock.write(tmp_path / name, b"1")
    files = Files(tmp_path)
    files.digest("a"), files.digest("b")
    assert not files.settled
    clock.write(tmp_path / "a", b"2")
    began = clock.now
    assert files.settle() == ["a"]
    assert 0 < clock.now - began <= QUIET
    assert not files.settled


def test_settling_makes_an_untouched_young_file_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, known = CoarseClock(monkeypatch), dict[str, Known]()
    clock.write(tmp_path / "a", b"1")
    files = Files(tmp_path, known)
    files.digest("a")
    assert known == {} and not files.settled
    assert files.settle() == [] and files.settled
    assert known["a"][1] == digest_bytes(b"1").sha256


def test_a_file_from_the_future_is_never_trusted_and_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, known = CoarseClock(monkeypatch), dict[str, Known]()
    clock.write(tmp_path / "a", b"1")
    clock.now -= 3_600_000_000_000
    began = clock.now
    files = Files(tmp_path, known)
    files.digest("a")
    assert files.settle() == [] and not files.settled and known == {} and clock.now == began


def test_two_quick_writes_are_told_apart_on_this_disk_too(tmp_path: Path) -> None:
    known: dict[str, Known] = {}
    path = tmp_path / "a"
    for number in range(300):
        content = b"%03d" % number
        path.write_bytes(content)
        os.utime(path, ns=(7, 7))  # as a tool does that keeps times
        assert Files(tmp_path, known).digest("a") == digest_bytes(content)


def test_what_the_build_places_is_known_at_once(tmp_path: Path) -> None:
    known: dict[str, Known] = {}
    files = Files(tmp_path, known)
    assert files.digest("out/model") is None
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model").write_bytes(b"model")
    seen = stamp(tmp_path / "out/model")
    assert seen
    files.note("out/model", seen, digest_bytes(b"model"))
    assert files.digest("out/model") == digest_bytes(b"model") and files.watched["out/model"] == seen
    assert files.settled and files.moved() == []
    assert known["out/model"] == (seen, digest_bytes(b"model").sha256)


def test_moved_names_files_that_come_and_go_under_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/deep/a.npy").write_bytes(b"1")
    files = Files(tmp_path)
    files.glob("**/*.npy", "data")
    (tmp_path / "data/notes.txt").touch()  # not asked for
    (tmp_path / "data/new").mkdir()
    assert files.moved() == []
    assert files.watched["data"] == stamp(tmp_path / "data")
    assert files.watched["data/new"] == stamp(tmp_path / "data/new")
    (tmp_path / "data/new").rmdir()
    assert files.moved() == [] and files.watched["data/new"] is None
    (tmp_path / "data/new").mkdir()
    assert files.moved() == []
    (tmp_path / "data/new/b.npy").touch()
    assert files.moved() == ["data/new/b.npy"]
    (tmp_path / "data/deep/a.npy").unlink()
    assert files.moved() == ["data/deep/a.npy", "data/new/b.npy"]


NAMES = ["a", "b.py", "c.npy", "ab.npy", ".hidden", "x[1]"]
PARTS = ["*", "**", "*.npy", "a", "?.py", "[ab]*", ".*", "b.py", "x[[]1]", "."]
trees = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join), max_size=12)
patterns = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join)


@settings(deadline=None, max_examples=300)
@given(trees, patterns)
def test_a_pattern_matches_what_its_meaning_says(paths: list[str], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            try:
                Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, path).touch()
            except (FileExistsError, NotADirectoryError):
                pass
        everything = [p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()]
        expected = sorted(path for path in everything if meant(pattern).fullmatch(path))
        assert list(Files(Path(folder)).glob(pattern)) == expected


def meant(pattern: str) -> re.Pattern[str]:
    parts = [part for part in pattern.split("/") if part != "."]
    names = {
        "*": r"[^./][^/]*",
        "*.npy": r"(?!\.)[^/]*\.npy",
        "?.py": r"[^./]\.py",
        "[ab]*": "[ab][^/]*",
        ".*": r"\.[^/]*",
        "x[[]1]": r"x\[1\]",
    }
    if not parts:
        return re.compile("(?!)")
    if parts[-1] == "**":
        parts.append("*")
    *folders, last = parts
    text = "".join(r"(?:[^./][^/]*/)*" if part == "**" else names.get(part, re.escape(part)) + "/" for part in folders)
    return re.compile(text + names.get(last, re.escape(last)))


def test_a_pattern_stays_below_its_folder(tmp_path: Path) -> None:
    for pattern in ("../*.npy", "/etc/*", "a/../../b"):
        with pytest.raises(MegbuildError, match=r"leaves its folder.*\[MB605\]"):
            Files(tmp_path).glob(pattern, "data")


def test_links_are_followed_when_named_but_not_by_stars(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.npy").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    (tmp_path / "data/samples").symlink_to(tmp_path / "real")
    (tmp_path / "data/one.npy").symlink_to(tmp_path / "real/a.npy")
    (tmp_path / "data/broken.npy").symlink_to(tmp_path / "nowhere")
    files = Files(tmp_path)
    assert files.glob("**/*.npy", "data") == ("data/one.npy",)
    assert files.glob("samples/*.npy", "data") == ("data/samples/a.npy",)


def test_what_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"caf\xe9")
    with pytest.raises(MegbuildError, match=r"latin.py is not UTF-8 text \(byte 3\) \[MB604\]"):
        Files(tmp_path).text("latin.py")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(MegbuildError, match=r"cannot read loop: .*\[MB603\]"):
        Files(tmp_path).digest("loop")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).touch()
    with pytest.raises(MegbuildError, match=r"is not UTF-8.*\[MB606\]"):
        Files(tmp_path).glob("*")


def test_a_pipe_is_no_file_and_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Files(tmp_path).digest("pipe") is None


def test_a_file_that_goes_while_it_is_looked_at_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")

    def vanish(name: str) -> Digest:
        Path(name).unlink()
        raise FileNotFoundError(name)

    monkeypatch.setattr(module, "digest_file", vanish)
    files = Files(tmp_path)
    assert files.digest("a") is None and files.watched["a"] is None
    assert files.moved() == []


def test_a_text_that_goes_between_two_looks_has_moved(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    files = Files(tmp_path)
    files.digest("a")
    (tmp_path / "a").unlink()
    assert files.text("a") == ""
    assert files.moved() == ["a"]


def test_a_file_that_changes_as_fast_as_it_is_read_has_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x")

    def grow(self: Files, name: str) -> Digest:
        with path.open("ab") as file:
            file.write(b"x")
        return digest_bytes(path.read_bytes())

    monkeypatch.setattr(Files, "_hash", grow)
    files = Files(tmp_path)
    files.digest("log")
    monkeypatch.undo()
    assert files.moved() == ["log"]


def test_contents_are_kept_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources of thousands of models do not stay in memory, and one that is read again must be what it was."""
    monkeypatch.setattr(module, "_KEPT", 250)
    for name in "abcd":
        (tmp_path / name).write_text(name * 100)
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    files = Files(tmp_path)
    for name in "abcd":
        assert files.text(name) == name * 100
    assert list(files._contents) == ["c", "d"] and files._kept == 200
    assert files.text("a") == "a" * 100 and not files.moved()
    (tmp_path / "b").write_text("other")
    files.read("b")
    assert files.moved() == ["b"]
