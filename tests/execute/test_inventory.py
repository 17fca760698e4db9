"""A changed file of an environment is noticed: by its stamp before a build uses it, by its content when asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from megbuild.execute import inventory

CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda folder: (folder / "lib/a.py").write_text("changed"),
    "same size": lambda folder: (folder / "lib/a.py").write_text("y = 2"),
    "removed": lambda folder: (folder / "lib/a.py").unlink(),
    "added": lambda folder: (folder / "lib/sitecustomize.py").write_text(""),
    "replaced": lambda folder: (folder / "b").replace(folder / "lib/a.py"),
    "another link": lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("b")),
}


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    folder = tmp_path / "environment"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/a.py").write_text("x = 1")
    (folder / "b").write_text("b")
    (folder / "link").symlink_to("lib/a.py")
    for path in (folder / "lib/a.py", folder / "b"):
        os.utime(path, (1000, 1000))
    inventory.write(inventory.take(folder), tmp_path / "files")
    return folder


def test_an_environment_as_it_was(taken: Path) -> None:
    os.link(taken / "b", taken.parent / "another")  # as another environment does that shares it
    assert inventory.changed(taken, taken.parent / "files") == []
    assert inventory.damaged(taken, taken.parent / "files") == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(taken: Path, change: str) -> None:
    CHANGES[change](taken)
    assert inventory.changed(taken, taken.parent / "files")
    assert inventory.damaged(taken, taken.parent / "files")


def test_a_change_that_hides_behind_its_stamp_is_found_by_content(taken: Path) -> None:
    (taken / "lib/a.py").write_text("x = 2")
    os.utime(taken / "lib/a.py", (1000, 1000))
    assert inventory.changed(taken, taken.parent / "files") == []
    assert inventory.damaged(taken, taken.parent / "files") == ["lib/a.py"]


@pytest.mark.parametrize("at", [0, 5, -1])
def test_a_damaged_inventory_vouches_for_nothing(taken: Path, at: int) -> None:
    path = taken.parent / "files"
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    assert inventory.changed(taken, path) or inventory.damaged(taken, path)
