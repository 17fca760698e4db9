"""What is said of a file that training code reads and no model declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from megbuild.execute.undeclared import undeclared_read

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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {"vision/MODELS.toml": MODELS, "vision/net.py": "", "vision/b.txt": "", "c.txt": ""}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "model", "said"),
    [
        ("b.txt", "net", 'vision/MODELS.toml:4:1: vision/net.py:3 reads vision/b.txt, which //vision:net does not declare [MB415]\n  hint: declare it: data = ["b.txt"]'),
        ("./b.txt", "bare", 'vision/MODELS.toml:6:9: vision/net.py:3 reads vision/b.txt, which //vision:bare does not declare [MB415]\n  hint: declare it: data = ["b.txt"]'),
        ("/work/in/source/c.txt", "net", 'vision/MODELS.toml:4:1: vision/net.py:3 reads c.txt, which //vision:net does not declare [MB415]\n  hint: declare it: data = ["//c.txt"]'),
        ("../c.txt", "net", 'vision/MODELS.toml:4:1: vision/net.py:3 reads c.txt, which //vision:net does not declare [MB415]\n  hint: declare it: data = ["//c.txt"]'),
    ],
)  # fmt: skip
def test_a_file_of_the_workspace(root: Path, path: str, model: str, said: str) -> None:
    tail = [line.format(path=path) for line in TAIL]
    assert str(undeclared_read(tail, f"//vision:{model}", root)) == said


@pytest.mark.parametrize("path", ["nowhere.txt", "/etc/hostname", "../../x", "/work/in/source/x"])
def test_what_is_not_there_anyway_is_no_undeclared_read(root: Path, path: str) -> None:
    assert undeclared_read([line.format(path=path) for line in TAIL], "//vision:net", root) is None


def test_other_ends_of_a_log(root: Path) -> None:
    assert undeclared_read(["ValueError: b.txt"], "//vision:net", root) is None
    assert undeclared_read([], "//vision:net", root) is None
