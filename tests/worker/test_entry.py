"""The function that a model names is found as Python would find it for the user."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from megbuild.worker import entry
from megbuild.worker.job import Refusal


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def tree(folder: Path, files: dict[str, str]) -> Any:
    for path, text in files.items():
        (folder / "in/source" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in/source" / path).write_text(text)


def call(folder: Path, said: str) -> Any:
    job = SimpleNamespace(folder=folder, settings={"entry": said, "root": "in/source"})
    with entry.function(job) as function:
        return function()


def test_modules_beside_the_file_and_from_the_root(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "a/b/mb_net.py": "import mb_beside, lib.mb_deep\ndef build(): return mb_beside.X + lib.mb_deep.X\n",
            "a/b/mb_beside.py": "X = 1\n",
            "lib/mb_deep.py": "X = 10\n",
        },
    )
    assert call(tmp_path, "a/b/mb_net.py:build") == 11


def test_relative_imports_work_in_a_package(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "a/mb_pkg/__init__.py": "",
            "a/mb_pkg/mb_net.py": "from . import mb_part\ndef build(): return mb_part.X\n",
            "a/mb_pkg/mb_part.py": "X = 2\n",
        },
    )
    assert call(tmp_path, "a/mb_pkg/mb_net.py:build") == 2


def test_data_is_read_relative_to_the_file(tmp_path: Path) -> None:
    before = Path.cwd()
    tree(tmp_path, {"a/mb_data.py": "def build(): return open('labels.txt').read()\n", "a/labels.txt": "cat"})
    assert call(tmp_path, "a/mb_data.py:build") == "cat"
    assert Path.cwd() == before


@pytest.mark.parametrize(
    ("said", "because"),
    [("a/mb_x.py:nothing", "a/mb_x.py has no function nothing"), ("a/json.py:build", "taken by another module")],
)
def test_refusals(tmp_path: Path, said: str, because: str) -> None:
    import json  # noqa: F401

    tree(tmp_path, {"a/mb_x.py": "nothing = 1\n", "a/json.py": "def build(): pass\n"})
    with pytest.raises(Refusal, match=because):
        call(tmp_path, said)
