"""Training code by meaning: the import closure inside the workspace, and the canonical form of each file.

What is staged for an action is the canonical form (parsed and unparsed: no comments, no formatting), so the action
cannot see what its key does not cover. A module that is imported in a way no parser can follow is not staged, and
the action fails on it instead of reading something that is not in its key.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from megbuild.errors import Location, fail

Exists = Callable[[str], bool]
Text = Callable[[str], str | None]


@dataclass(frozen=True)
class SourceFile:
    """A file of training code: its workspace-relative path, the text that an action gets to see, and the user's own."""

    path: str
    text: str
    written: str


def closure(entry: str, exists: Exists, text: Text, *, meaning: bool = True) -> tuple[SourceFile, ...]:
    """Every file of the workspace that ``entry`` imports, directly or not, sorted by path.

    Absolute imports are looked up beside the entry file first (as when a script is run), then from the workspace's
    root; packages bring their ``__init__.py``.

    :param exists: whether a workspace-relative path is a file.
    :param text: the text of a workspace-relative file.
    :raises MegbuildError: MB210 for a file that is not valid Python.
    """
    roots = (str(PurePosixPath(entry).parent), ".")
    found: dict[str, SourceFile] = {}
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        written = text(path) or ""
        tree = _parse(path, written)
        found[path] = SourceFile(path, canonical(tree, written) if meaning else written, written)
        waiting += [imported for imported in _imports(tree, path, roots, exists) if imported not in found]
    return tuple(found[path] for path in sorted(found))


def canonical(tree: ast.Module, written: str) -> str:
    """The text of a module without comments and formatting; the text as written where that would not mean the same."""
    unparsed = ast.unparse(tree) + "\n"
    return unparsed if ast.dump(ast.parse(unparsed)) == ast.dump(tree) else written


def written_line(written: str, line: int) -> int:
    """The line of the user's file that became ``line`` of its canonical form; ``line`` itself where they are one.

    Both texts parse to the same tree, so the nodes of the two correspond one to one.
    """
    tree = ast.parse(written)
    shown = canonical(tree, written)
    if shown == written:
        return line
    best = (0, line)
    for original, copy in zip(ast.walk(tree), ast.walk(ast.parse(shown)), strict=True):
        start = getattr(copy, "lineno", 0)
        if best[0] < start <= line:
            best = (start, getattr(original, "lineno", line))
    return best[1]


def _parse(path: str, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        where = Location(path, error.lineno or 0, error.offset or 0)
        raise fail("MB210", f"not valid Python: {error.msg}", "training code must parse before it can be staged", where) from None


def _imports(tree: ast.Module, path: str, roots: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The workspace files that the statements of one module import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module(alias.name.split("."), roots, exists)
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            bases = roots
            if node.level:
                folder = PurePosixPath(path).parent
                for _ in range(node.level - 1):
                    folder = folder.parent
                bases = (str(folder),)
            yield from _module(parts, bases, exists)
            for alias in node.names:
                yield from _module([*parts, alias.name], bases, exists)


def _module(parts: list[str], bases: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The files of module ``a.b.c`` under the first base that has any of them: the packages on the way and the module."""
    for base in bases:
        files = []
        for depth in range(1, len(parts) + 1):
            stem = PurePosixPath(base, *parts[:depth])
            files += [str(name) for name in (stem / "__init__.py", stem.with_name(stem.name + ".py")) if exists(str(name))]
        if not parts and exists(str(PurePosixPath(base, "__init__.py"))):
            files = [str(PurePosixPath(base, "__init__.py"))]
        if files:
            yield from files
            return
