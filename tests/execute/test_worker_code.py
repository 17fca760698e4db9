"""Code that is laid out once for all actions that declare it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from megbuild.execute.staging import Moved
from megbuild.execute.worker_code import SharedCode, code_of
from megbuild.graph.actions import Action, Leaf
from megbuild.store.digests import digest_bytes


def action(*leaves: Leaf) -> Action:
    return Action("//:m#x", "x", "", "//:m", "toy", leaves, ("y",))


def leaf(path: Path, staged: str) -> Leaf:
    return Leaf(staged, digest_bytes(path.read_bytes()), path.name, origin=str(path), kind="code")


def test_the_same_code_is_laid_out_once_and_each_file_copied_once(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_bytes(b"pass")
    (tmp_path / "more.py").write_bytes(b"more")
    worker, more = leaf(tmp_path / "worker.py", "code/worker.py"), leaf(tmp_path / "more.py", "code/a/more.py")
    shared = SharedCode(tmp_path / "shared")
    request = Leaf("request.json", digest_bytes(b"{}"), "request", content=b"{}")
    one = shared.lay(action(worker), code_of(action(worker)))
    (tmp_path / "worker.py").write_bytes(b"changed")  # the copy is of what was hashed
    assert shared.lay(action(worker, request), code_of(action(worker, request))) == one
    other = shared.lay(action(worker, more), code_of(action(worker, more)))
    assert other != one
    assert sorted(path.relative_to(other).as_posix() for path in other.rglob("*.py")) == [worker.path, more.path][::-1]
    placed = other / worker.path
    assert placed.samefile(one / worker.path)
    assert not placed.samefile(tmp_path / "worker.py")
    assert (placed.read_bytes(), placed.stat().st_mode & 0o222) == (b"pass", 0)


def test_several_actions_at_once_lay_it_out_once(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_bytes(b"pass")
    one = action(leaf(tmp_path / "worker.py", "code/worker.py"))
    with ThreadPoolExecutor(8) as pool:
        for turn in range(50):
            shared = SharedCode(tmp_path / str(turn))
            laid = list(pool.map(shared.lay, [one] * 8, [code_of(one)] * 8))
            assert len(set(laid)) == 1
            assert sorted(path.name for path in shared.folder.iterdir()) == sorted(["files", laid[0].name])


def test_code_that_changed_is_never_laid_out(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_bytes(b"pass")
    worker = leaf(tmp_path / "worker.py", "code/worker.py")
    (tmp_path / "worker.py").write_bytes(b"changed")
    shared = SharedCode(tmp_path / "shared")
    for _ in range(2):
        with pytest.raises(Moved):
            shared.lay(action(worker), code_of(action(worker)))


def test_an_action_without_code_has_an_empty_folder(tmp_path: Path) -> None:
    laid = SharedCode(tmp_path / "shared").lay(action(), code_of(action()))
    assert list((laid / "code").iterdir()) == []


def test_a_failed_action_gets_its_code_unless_it_has_it(tmp_path: Path) -> None:
    worker = Leaf("code/worker.py", digest_bytes(b"pass"), "worker.py", content=b"pass", kind="code")
    shared, code = SharedCode(tmp_path / "shared"), code_of(action(worker))
    laid = shared.lay(action(worker), code)
    (tmp_path / "a/code").mkdir(parents=True)
    for _ in range(2):
        shared.give(code, tmp_path / "a")
    assert (tmp_path / "a/code/worker.py").samefile(laid / "code/worker.py")
