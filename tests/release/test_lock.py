"""MODELS.lock: what is in it, what is not as locked, and merging it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from megbuild.cli import build as build_command
from megbuild.cli import lock as command
from megbuild.errors import MegbuildError
from megbuild.release import lock

from .conftest import git

ROOT = Path(__file__).parents[2]
FLAGS = {"check": False, "update": False, "merge": False}


@pytest.fixture
def here(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(toy.root)
    toy.write({"samples/weights.pkl": "x", "data.txt": "1"})
    models = toy.root / "MODELS.toml"
    source = 'source = "net.py:build"\n'
    models.write_text(models.read_text().replace(source, source + 'data = ["data.txt", "samples/weights.pkl"]\n'))
    return Path(toy.root)


def doit_lock(*words: str, **flags: bool) -> int:
    return command.Lock().execute({**FLAGS, **flags}, list(words))


def test_one_sorted_line_for_every_leaf(here: Path) -> None:
    assert doit_lock() == 0
    lines = (here / "MODELS.lock").read_text().splitlines()[1:]
    assert [line.rpartition(" ")[0] for line in lines] == [
        "data data.txt",
        "data samples/0.npy",
        "pickle samples/weights.pkl",
        "toolchain convert",
        "toolchain megengine",
    ]
    assert lines == sorted(lines)
    assert doit_lock(check=True) == 0


def test_trusted_pickles_have_a_line_for_each_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = "a" * 64, "b" * 64
    (here / "MODELS.trust").write_text(
        f"# reviewed\n{b}  vendor.Swish  by Ada\n{a}  vendor.Swish\n{a}  vendor.ops.Hard\n"
    )
    assert doit_lock() == 0
    lines = [line for line in (here / "MODELS.lock").read_text().splitlines() if line.startswith("trusted")]
    assert lines == [
        f"trusted vendor.Swish@{'a' * 16} sha256:{a}",
        f"trusted vendor.Swish@{'b' * 16} sha256:{b}",
        f"trusted vendor.ops.Hard@{'a' * 16} sha256:{a}",
    ]
    assert doit_lock(check=True) == 0
    with (here / "MODELS.trust").open("a") as file:
        file.write(f"{b}  os.system  nobody reviewed this\n")
    assert doit_lock(check=True) == 1
    assert f"trusted os.system@{'b' * 16} is not locked" in capsys.readouterr().err
    (here / "MODELS.trust").write_text("nonsense\n")
    assert doit_lock(check=True) == 2
    assert capsys.readouterr().err.startswith("MODELS.trust:1: is no reviewed exception [MB135]")


def test_every_leaf_that_is_not_as_locked_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doit_lock(update=True)
    (here / "data.txt").write_text("2")
    (here / "samples/1.npy").write_text("one")
    (here / "samples/0.npy").unlink()
    assert doit_lock(check=True) == 1
    said = capsys.readouterr().err
    assert "data data.txt is " in said and "data samples/1.npy is not locked" in said
    assert "data samples/0.npy is locked, and nothing uses it [MB720]" in said
    assert doit_lock() == 0 and doit_lock(check=True) == 0


def test_a_locked_build_needs_the_lock(toy: Any, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {option["name"]: option["default"] for option in build_command.Build.cmd_options}
    build = build_command.Build()
    assert build.execute({**params, "locked": True}, []) == 2
    assert "there is no MODELS.lock [MB720]" in capsys.readouterr().err
    doit_lock()
    assert build.execute({**params, "locked": True}, []) == 0
    path = here / "MODELS.lock"
    for tampered, status in (
        (path.read_text().replace("data data.txt sha256:", "data data.txt sha256:0", 1), 2),
        ("\n".join(reversed(path.read_text().splitlines())), 2),
        (path.read_text() + path.read_text().splitlines()[-1] + "\n", 2),
        (path.read_text().replace(path.read_text().splitlines()[1], "data data.txt sha256:" + "0" * 64), 1),
        ("", 1),
    ):
        before = path.read_text()
        path.write_text(tampered)
        assert build.execute({**params, "locked": True}, []) == status, tampered
        path.write_text(before)


def test_a_changed_toolchain_is_not_as_locked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doit_lock()
    (here.parent / "builtin/toolchains/convert/requirements.lock").write_text("onnx==1.0\n")
    assert doit_lock(check=True) == 1
    assert "toolchain convert is" in capsys.readouterr().err


def test_merging_leaf_by_leaf() -> None:
    base = {"data a": "1", "data b": "1", "data c": "1", "data d": "1"}
    ours = {"data a": "2", "data b": "1", "data d": "1", "data e": "5"}
    theirs = {"data a": "1", "data b": "3", "data c": "1", "data e": "5"}
    merged, clashes = lock.merge(base, ours, theirs)
    assert (merged, clashes) == ({"data a": "2", "data b": "3", "data e": "5"}, ())
    _, clashes = lock.merge(base, {**base, "data a": "2"}, {**base, "data a": "3"})
    assert clashes == ("data a",)
    assert lock.merge(base, {}, {**base, "data a": "3"})[1] == ("data a",)


def test_a_conflict_is_no_lock() -> None:
    ours, theirs = {"data a": "1" * 64}, {"data a": "2" * 64}
    text = lock.merged_text({}, ["data a"], ours, theirs)
    with pytest.raises(MegbuildError, match="is no line of a lock"):
        lock.parse(text)


def test_git_merges_neighbouring_lines_with_the_driver(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    path = tmp_path / "MODELS.lock"

    def commit(*names: str, **changed: str) -> None:
        path.write_text(lock.text({f"data {name}": changed.get(name, "0") * 64 for name in names}))
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "-m", "x")

    (tmp_path / ".gitattributes").write_text("MODELS.lock merge=megbuild-lock\n")
    driver = f"{shlex.quote(sys.executable)} -I -m megbuild.cli lock --merge %O %A %B"
    git(tmp_path, "config", "merge.megbuild-lock.driver", driver)
    commit("a", "b", "c")
    git(tmp_path, "checkout", "--quiet", "-b", "theirs")
    commit("a", "b", "c", "d", b="2")
    git(tmp_path, "checkout", "--quiet", "main")
    commit("a", "b", "c", a="1", c="3")
    git(tmp_path, "merge", "--quiet", "--no-edit", "theirs")
    assert lock.parse(path.read_text()) == {
        f"data {name}": digit * 64 for name, digit in zip("abcd", "1230", strict=True)
    }


def test_what_is_called_wrongly(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doit_lock(check=True, update=True) == 2
    assert doit_lock("x") == 2
    assert doit_lock("x", merge=True) == 2
    assert capsys.readouterr().err.count("[MB401]") == 3


@pytest.mark.parametrize("path", [ROOT, ROOT / "examples/release"], ids=lambda path: path.name)
def test_the_locks_of_this_repository_are_checked_in_and_current(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A toolchain or a sample that was changed here needs ``doit lock`` in that folder, and its diff a review."""
    assert git(ROOT, "ls-files", str(path / "MODELS.lock"))
    monkeypatch.chdir(path)
    assert doit_lock(check=True) == 0
