"""What is said of a file that training code reads or changes and no model declares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from megbuild.errors import Problem
from megbuild.execute.undeclared import declared_at, undeclared
from megbuild.graph.actions import Action, Leaf
from megbuild.store.digests import digest_bytes

MODELS = """
[models.net]
source = "net.py:build"
data = ["a.txt"]

[models.bare]
source = "net.py:build"
"""
TAIL = (
    "Traceback (most recent call last):",
    '  File "/toolchain/lib/python3.9/runpy.py", line 1, in x',
    '  File "vision/net.py", line 3, in build',
    "    open('{path}')",
    "FileNotFoundError: [Errno 2] No such file or directory: '{path}'",
)


def action(model: str, makes: str = "tm") -> Action:
    code = Leaf("in/source/vision/net.py", digest_bytes(b""), "vision/net.py", content=b"", seen="x")
    return Action(f"//vision:{model}#{makes}", makes, "", f"//vision:{model}", "toy", (code,), (), makes=makes)


def said(tail: Sequence[str], model: str, root: Path, makes: str = "tm") -> Problem | None:
    return undeclared(tail, action(model, makes), root, root / "staged")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {"vision/MODELS.toml": MODELS, "vision/net.py": "", "vision/b.txt": "", "c.txt": ""}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "model", "text"),
    [
        ("b.txt", "net", 'vision/MODELS.toml:4:1: vision/net.py:3 reads vision/b.txt, which //vision:net does not declare [MB415]\n  hint: declare it: data = ["b.txt"]'),
        ("./b.txt", "bare", 'vision/MODELS.toml:6:9: vision/net.py:3 reads vision/b.txt, which //vision:bare does not declare [MB415]\n  hint: declare it: data = ["b.txt"]'),
        ("/work/in/source/c.txt", "net", 'vision/MODELS.toml:4:1: vision/net.py:3 reads c.txt, which //vision:net does not declare [MB415]\n  hint: declare it: data = ["//c.txt"]'),
        ("../c.txt", "net", 'vision/MODELS.toml:4:1: vision/net.py:3 reads c.txt, which //vision:net does not declare [MB415]\n  hint: declare it: data = ["//c.txt"]'),
    ],
)  # fmt: skip
def test_a_file_of_the_workspace(root: Path, path: str, model: str, text: str) -> None:
    tail = [line.format(path=path) for line in TAIL]
    assert str(said(tail, model, root)) == text


@pytest.mark.parametrize("path", ["nowhere.txt", "/etc/hostname", "../../x", "/work/in/source/x"])
def test_what_is_not_there_anyway_is_no_undeclared_read(root: Path, path: str) -> None:
    assert said([line.format(path=path) for line in TAIL], "net", root) is None


def test_other_ends_of_a_log(root: Path) -> None:
    assert said(["ValueError: b.txt"], "net", root) is None
    assert said([], "net", root) is None
    assert said(["OSError: [Errno 5] Input/output error: 'b.txt'"], "net", root) is None


CHANGES = {
    "OSError: [Errno 30] Read-only file system: 'new.bin'": "vision/new.bin",
    "OSError: [Errno 30] Read-only file system: '/work/out/x' -> '/work/in/source/c.txt'": "c.txt",
    "OSError: [Errno 30] Read-only file system: '/work/in/source/vision/new/x'": "vision/new/x",
    "PermissionError: [Errno 13] Permission denied: 'a.txt'": "vision/a.txt",
    "OSError: [Errno 30] Read-only file system: '/usr/lib/x'": "/usr/lib/x",
    'OSError: [Errno 30] Read-only file system: "it\'s"': "vision/it's",
}


@pytest.mark.parametrize("error", CHANGES)
@pytest.mark.parametrize(("makes", "place"), [("tm", "vision/MODELS.toml:3:1"), ("weights", "vision/MODELS.toml:2:9")])
def test_a_change_of_what_is_only_to_be_read(root: Path, error: str, makes: str, place: str) -> None:
    """This model has no train: the line of the model itself is what stands nearest."""
    (root / "vision/a.txt").write_text("")
    (root / "staged/in/source/vision").mkdir(parents=True)
    (root / "staged/in/source/vision/a.txt").write_text("")
    problem = str(said([*TAIL[:-1], error], "net", root, makes))
    assert problem == (
        f"{place}: vision/net.py:3 changes {CHANGES[error]}, which //vision:net may only read [MB418]\n"
        "  hint: scratch files go to $TMPDIR, and what is trained to the path that train is given"
    )


def test_without_namespaces_a_read_is_refused_in_another_way(root: Path) -> None:
    """By Landlock; a file that was staged may be read, so there it was a change."""
    text = f"PermissionError: [Errno 13] Permission denied: '{root}/vision/b.txt'"
    assert "reads vision/b.txt" in str(said([text], "net", root))
    path = root / "staged/in/source/vision/b.txt"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert "changes vision/b.txt" in str(said([text.replace(f"{root}/", f"{root}/staged/in/source/")], "net", root))


def test_what_is_declared_and_not_found_is_another_mistake(root: Path) -> None:
    """It is opened from another folder."""
    path = root / "staged/in/source/c.txt"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert said([line.format(path="c.txt") for line in TAIL], "net", root) is None


def test_an_action_without_training_code_has_no_place(root: Path) -> None:
    converts = Action("//vision:net#mge", "mge", "", "//vision:net", "toy", (), (), makes="mge")
    assert declared_at(converts, root) is None
    assert undeclared([line.format(path="b.txt") for line in TAIL], converts, root, root) is None
