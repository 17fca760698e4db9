"""The state: round trip, damage, death, and the notes of selections."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbuild.cli import environment
from megbuild.store import moved, noop
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest, Stamp
from megbuild.store.files import Files
from megbuild.store.state import Built, Published, State

texts = st.text(max_size=20)
digests = st.builds(Digest, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 2**63 - 1))
stamps = st.builds(Stamp, *[st.integers(0, 2**63 - 1)] * 3, st.integers(0, 2**64 - 1))
components = st.dictionaries(
    texts, texts | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
)
builts = st.builds(Built, texts, components, st.dictionaries(texts, digests, max_size=3))
publisheds = st.builds(Published, stamps, texts)


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(texts, builts, max_size=5),
    st.dictionaries(texts, st.tuples(stamps, texts), max_size=5),
    st.dictionaries(texts, st.dictionaries(texts, publisheds, min_size=1, max_size=2), max_size=5),
    st.dictionaries(texts, st.tuples(builts, st.dictionaries(texts, publisheds, max_size=2)), max_size=4),
)
def test_what_is_saved_or_finished_is_loaded(
    built: dict[str, Built],
    known: dict[str, tuple[Stamp, str]],
    published: dict[str, dict[str, Published]],
    finished: dict[str, tuple[Built, dict[str, Published]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        state = State.load(Path(folder), pytest.fail)
        state.built.update(built)
        state.known.update(known)
        state.published.update(published)
        state.save()
        for action, (how, what) in finished.items():
            state.finished(action, how, what)
        for _ in range(2):  # once from the journal, once from the saved state
            again = State.load(Path(folder), pytest.fail)
            assert (again.built, again.known, again.published) == (state.built, state.known, state.published)
            again.save()
        assert not Path(folder, ".megbuild", "journal").exists()


BUILT = Built("k" * 64, {"option precision": "int8", "file train.py": "f" * 64}, {"artifact/a.tm": Digest("d" * 64, 7)})


def test_any_flipped_bit_is_noticed_and_nothing_damaged_is_believed(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.built["//a:b@c"] = BUILT
    state.save()
    path = tmp_path / ".megbuild" / "state"
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        warnings: list[str] = []
        assert dict(State.load(tmp_path, warnings.append).built) in ({}, {"//a:b@c": BUILT})
        assert warnings and all(str(path) in warning for warning in warnings)


@pytest.mark.parametrize("content", [b"", b"megbuild state 9\n1234rest", b"\x80\x04pickle", b"megbuild state 2\n"])
def test_a_foreign_file_is_an_empty_state_with_a_warning(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".megbuild").mkdir()
    (tmp_path / ".megbuild" / "state").write_bytes(content)
    warnings: list[str] = []
    assert State.load(tmp_path, warnings.append).built == {}
    assert len(warnings) == 1


def test_a_journal_line_of_another_version_is_left_out_with_a_warning(tmp_path: Path) -> None:
    state = State(tmp_path)
    state._journal.append(b'{"something":"else"}')
    state.finished("//a:b@c", BUILT)
    warnings: list[str] = []
    assert State.load(tmp_path, warnings.append).built == {"//a:b@c": BUILT}
    assert len(warnings) == 1 and "journal" in warnings[0]


def test_a_large_state_has_small_changes_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of one model among thousands does not write the other ones again."""
    monkeypatch.setattr("megbuild.store.state._SMALL", 0)
    state = State(tmp_path)
    components: dict[str, str | int | float | bool] = {"code:a": "1" * 64, "file:b": "2" * 64}
    for number in range(200):
        state.built[f"//p:m{number}#tm"] = Built(str(number), components, {"x": Digest("d" * 64, 1)})
    state.known["p/a.py"] = (Stamp(1, 2, 3, 4), "a" * 64)
    state.save()
    whole = (tmp_path / ".megbuild/state").read_bytes()

    again = State.load(tmp_path, pytest.fail)
    again.finished("//p:m7#tm", BUILT, {"out/p/m7/a": Published(Stamp(5, 6, 7, 8), "b" * 64)})
    again.built["//p:m8#tm"] = BUILT
    del again.built["//p:m9#tm"]
    again.known["p/a.py"] = (Stamp(9, 9, 9, 9), "c" * 64)
    again.save()
    assert (tmp_path / ".megbuild/state").read_bytes() == whole
    assert whole.count(b"1" * 64) == 1  # what many have alike is stored once

    for _ in range(2):  # from the lines beside it, then written whole
        third = State.load(tmp_path, pytest.fail)
        assert third.built["//p:m7#tm"] == third.built["//p:m8#tm"] == BUILT
        assert third.built["//p:m6#tm"] == Built("6", components, {"x": Digest("d" * 64, 1)})
        assert "//p:m9#tm" not in third.built and len(third.built) == 199
        assert third.known["p/a.py"] == (Stamp(9, 9, 9, 9), "c" * 64)
        assert third.published["//p:m7#tm"] == {"out/p/m7/a": Published(Stamp(5, 6, 7, 8), "b" * 64)}
        monkeypatch.setattr("megbuild.store.state._SMALL", 1 << 30)
        third.save()
    assert not (tmp_path / ".megbuild/journal").exists()


_FINISH_FOREVER = """
import sys
from pathlib import Path
from megbuild.store.state import State, Built
state = State.load(Path(sys.argv[1]), lambda text: sys.exit(text))
number = len(state.built)
print("ready", flush=True)
while True:
    state.finished(str(number), Built(str(number), {}, {}))
    print(number, flush=True)
    number += 1
    if number % 5 == 0:
        state.save()
"""


def test_kill_loses_only_what_was_in_flight(tmp_path: Path) -> None:
    for round_ in range(20):
        command = [sys.executable, "-c", _FINISH_FOREVER, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout and process.stderr and process.stdout.readline() == b"ready\n"
        time.sleep(0.005 + 0.004 * round_)
        process.send_signal(signal.SIGKILL)
        said, complaints = process.communicate()
        assert complaints == b""
        whole = said[: said.rfind(b"\n") + 1].split()
        built = State.load(tmp_path, pytest.fail).built
        assert {line.decode() for line in whole} <= set(built)
        assert sorted(map(int, built)) == list(range(len(built)))


# notes of selections


def unchanged(root: str, selection: str) -> str | None:
    looked = noop.look(root, selection)
    return looked.note.summary if looked and looked.unchanged else None


def workspace(folder: Path) -> tuple[State, Files]:
    (folder / "vision").mkdir()
    (folder / "vision" / "train.py").write_text("weights = 1\n")
    store = ContentStore(folder / "cache")
    artifact = store.put_bytes(b"artifact")
    placed = store.materialise(artifact, folder / "out" / "model.mge")
    state = State.load(folder, pytest.fail)
    files = Files(folder, state.known)
    assert files.glob("*.py", "vision") == ("vision/train.py",)
    assert files.digest("vision/train.py") and not files.exists("vision/MODELS.toml")
    files.note("out/model.mge", placed, artifact)
    return state, files


def test_a_remembered_selection_is_unchanged_until_something_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_SIZE", "big")
    monkeypatch.delenv("UNSET", raising=False)
    environment = {"MODEL_SIZE": "big", "UNSET": None}
    state, files = workspace(tmp_path)

    def fresh() -> str | None:
        return unchanged(str(tmp_path), "//vision/...")

    def remembered() -> None:
        again = Files(tmp_path, state.known)
        for path in files.watched:
            again.exists(path)
        assert state.remember("//vision/...", "1 model up to date", 1, again, environment)
        assert fresh() == "1 model up to date"

    assert fresh() is None
    assert state.remember("//vision/...", "1 model up to date", 1, files, environment)
    assert fresh() == "1 model up to date"
    assert unchanged(str(tmp_path), "//other") is None

    moves = [
        lambda: (tmp_path / "vision/train.py").write_text("weights = 2\n"),
        lambda: (tmp_path / "out/model.mge").write_bytes(b"Artifact"),
        lambda: (tmp_path / "out/model.mge").unlink(),
        lambda: (tmp_path / "vision/MODELS.toml").touch(),
        lambda: (tmp_path / "vision/new.py").touch(),
        lambda: (tmp_path / "vision/train.py").rename(tmp_path / "vision/other.py"),
        lambda: monkeypatch.setenv("MODEL_SIZE", "small"),
        lambda: monkeypatch.setenv("UNSET", ""),
        lambda: monkeypatch.delenv("MODEL_SIZE"),
        state.forget_selections,
    ]
    for move in moves:
        monkeypatch.setenv("MODEL_SIZE", "big")
        monkeypatch.delenv("UNSET", raising=False)
        remembered()
        move()
        assert fresh() is None


def test_a_selection_is_not_fresh_when_a_file_moved_meanwhile(tmp_path: Path) -> None:
    state, files = workspace(tmp_path)
    (tmp_path / "vision/train.py").write_text("weights = 2\n")  # within the same moment, and of the same size
    state.remember("//...", "up to date", 1, files, {})
    assert unchanged(str(tmp_path), "//...") is None
    assert files.moved() == ["vision/train.py"]
    assert not state.remember("//...", "up to date", 1, files, {})


def test_old_selections_are_dropped(tmp_path: Path) -> None:
    state, files = workspace(tmp_path)
    for number in range(40):
        assert state.remember(f"//{number}", str(number), 1, files, {})
    assert len(list((tmp_path / ".megbuild/fresh").iterdir())) == 32
    assert unchanged(str(tmp_path), "//39") == "39"


def test_a_damaged_note_is_not_believed(tmp_path: Path) -> None:
    state, files = workspace(tmp_path)
    state.remember("//...", "up to date", 1, files, {})
    (note,) = (tmp_path / ".megbuild/fresh").iterdir()
    whole = note.read_bytes()
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        note.write_bytes(flipped)
        if unchanged(str(tmp_path), "//..."):  # then it is the part that only a build with something to do reads
            found = noop.read(str(tmp_path), "//...")
            assert found and bit // 8 >= len(whole) - len(found.tail)
            with pytest.raises(ValueError, match="damaged"):
                found.lookers()
    for size in range(len(whole)):
        note.write_bytes(whole[:size])
        assert unchanged(str(tmp_path), "//...") is None


def compiled(folder: Path) -> str:
    """What ``./doit`` compiles."""
    library = folder / "moved.so"
    environment._compile(Path(moved.__file__).with_suffix(".c"), library)
    assert library.is_file(), "this needs a C compiler"
    return str(library)


def test_thousands_of_files_are_looked_at_in_three_ways(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to files and folders, each gives the same answer."""
    library = compiled(tmp_path_factory.mktemp("library"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folders = ["a", "b/c", "b/c/d/e", "b/none", "", "out/é \udc80/x", str(elsewhere)]
    paths = [f"{folder}/{number}".lstrip("/" if not folder else "") for folder in folders for number in range(700)]
    paths += [f"few/{number}/x" for number in range(100)] + ["a", "b/c", "b", "out", f"../{elsewhere.name}/1"]
    rng = random.Random(7)
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if not (tmp_path / path).is_dir():
            (tmp_path / path).touch()
    os.utime(tmp_path / paths[2], ns=(-5, -5))  # before 1970
    state, files = State.load(tmp_path, pytest.fail), Files(tmp_path)
    for path in [*paths, "a/none"]:
        files.exists(path)
    assert state.remember("//...", "all up to date", 1, files, {})
    note = noop.read(str(tmp_path), "//...")
    assert note and note.count == len(paths) > noop._FEW and [folder for folder, _ in note.runs] == [
        "a", "b/c", "b/none", "", "out/é \udc80", "/".join(str(elsewhere).split("/")[:2]), "",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)

    def answers() -> list[int]:
        each = [
            moved._moved(note, str(tmp_path), way)
            for way in (moved.by_library(note, library), moved.by_stat(note))
            if way
        ]
        assert len(each) == 2 and each[0] == each[1] == noop._moved_by_python(note)
        looked = noop.look(str(tmp_path), "//...")
        assert looked and looked.moved == each[0] and Path.cwd() == tmp_path
        return each[0]

    assert answers() == []
    before = 0
    for _ in range(12):
        path = tmp_path / rng.choice(paths)
        what = rng.randrange(5)
        if what == 0 and path.exists():
            os.utime(path, ns=(7, rng.randrange(10**18)))
        elif path.is_file():
            if what == 1:
                path.unlink()
            elif what == 2:
                path.write_text("longer")
            elif what == 3:
                path.write_bytes(path.read_bytes())
            else:
                other = path.with_name("other")
                other.touch()
                other.rename(path)
        assert len(answers()) >= before
        before = len(answers())
    assert before > 6
    (tmp_path / "b").rename(tmp_path / "b2")  # the folder of many, and what lies below it
    assert len(answers()) > 3 * 690
    (tmp_path / "b").symlink_to("b2")
    assert len(answers()) < 690
    (tmp_path / "a/none").touch()
    looked = noop.look(str(tmp_path), "//...")
    assert looked and looked.came == ["a/none"]


def test_a_library_that_cannot_be_used_is_none(tmp_path: Path) -> None:
    state, files = workspace(tmp_path)
    assert state.remember("//...", "all up to date", 1, files, {})
    note = noop.read(str(tmp_path), "//...")
    assert note and moved.by_library(note, str(tmp_path / "none.so")) is None
    (tmp_path / "bad.so").write_bytes(b"not a library")
    assert moved.by_library(note, str(tmp_path / "bad.so")) is None


def test_the_fast_path_stands_alone(tmp_path: Path) -> None:
    state, files = workspace(tmp_path)
    assert state.remember("//...", "all up to date", 1, files, {})
    code = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import noop;"
        "print(noop.look(sys.argv[2], '//...').note.summary, sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(Path(noop.__file__).parent), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
    summary, modules = said.split(" [")
    assert summary == "all up to date"
    standing = {"__future__", "_collections_abc", "_stat", "genericpath", "os", "os.path", "posixpath", "stat"}
    assert set(re.findall(r"'(.+?)'", modules)) - standing <= {"noop", "marshal"}
