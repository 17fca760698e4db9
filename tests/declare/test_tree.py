"""Globs and paths of a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from megbuild.declare.tree import Tree, workspace_path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    for name in ["a.npy", "b.txt", ".h.npy", "d/1.npy", "d/2.npz", "d/e/3.npy", "d/.g/4.npy", "d[1]/5.npy"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Tree(str(tmp_path.resolve()))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.npy", ["a.npy"]),
        (".*.npy", [".h.npy"]),
        ("a.npy", ["a.npy"]),
        ("d/*", ["d/1.npy", "d/2.npz"]),
        ("d/*.np[yz]", ["d/1.npy", "d/2.npz"]),
        ("?/*/*.npy", ["d/e/3.npy"]),
        ("**/*.npy", ["a.npy", "d/1.npy", "d/e/3.npy", "d[1]/5.npy"]),
        ("d/**", ["d/1.npy", "d/2.npz", "d/e/3.npy"]),
        ("**", ["a.npy", "b.txt", "d/1.npy", "d/2.npz", "d/e/3.npy", "d[1]/5.npy"]),
        ("d/**/e/*.npy", ["d/e/3.npy"]),
        ("d[[]1]/*", ["d[1]/5.npy"]),
        ("d", []),
        ("nothing/*", []),
        ("a.npy/*", []),
    ],
)
def test_globs(tree: Tree, pattern: str, found: list[str]) -> None:
    assert list(tree.glob(pattern)) == found


def test_kinds(tree: Tree) -> None:
    assert [tree.kind(path) for path in ["", "d", "d/e/3.npy", "d/x", "x/y"]] == [
        "folder", "folder", "file", "missing", "missing",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "package", "path"),
    [("a.py", "v/w", "v/w/a.py"), ("./a//b/", "v", "v/a/b"), ("//a.py", "v", "a.py"), ("a", "", "a")],
)
def test_paths_are_relative_to_their_package(text: str, package: str, path: str) -> None:
    assert workspace_path(text, package) == (path, "")


@pytest.mark.parametrize("text", ["", ".", "//", "/a", "~/a", "C:/a", "a/../b", "..", "//..", "a\\b", "a\nb", "a\0"])
def test_paths_that_are_none(text: str) -> None:
    path, complaint = workspace_path(text, "v")
    assert (path, bool(complaint)) == ("", True)
