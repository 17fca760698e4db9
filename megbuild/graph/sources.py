"""Training code by meaning: the import closure inside the workspace, and the canonical form of each file.

What is staged for an action is the canonical form (parsed and unparsed: no comments, no formatting), so the action
cannot see what its key does not cover. A module that is imported in a way no parser can follow is not staged, and
the action fails on it instead of reading something that is not in its key.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import NamedTuple

from msgspec import Struct

from megbuild.errors import Location, fail
from megbuild.graph.canonical import Unprintable, printed

Exists = Callable[[str], bool]
Text = Callable[[str], str | None]


class SourceFile(Struct, frozen=True):
    """A file of training code: its workspace-relative path, the text that an action gets to see, and the user's own."""

    path: str
    text: str
    written: str


class _Imports(NamedTuple):
    """The modules that a text imports, each with the number of dots before its name, and those that ``__all__`` lists."""

    modules: tuple[tuple[int, tuple[str, ...]], ...]
    exported: tuple[str, ...]


_KEPT = 256
"""Texts whose meaning is remembered: modules that many models or rules import are parsed once."""


def closure(entry: str, exists: Exists, text: Text, *, meaning: bool = True) -> tuple[SourceFile, ...]:
    """Every file of the workspace that ``entry`` imports, directly or not, sorted by path.

    Absolute imports are looked up beside the entry file first (as when a script is run), then from the workspace's
    root; packages bring their ``__init__.py``.

    :param exists: whether a workspace-relative path is a file.
    :param text: the text of a workspace-relative file.
    :raises MegbuildError: MB210 for a file that is not valid Python.
    """
    paths = reached([entry], (str(PurePosixPath(entry).parent), "."), exists, text)
    written = {path: text(path) or "" for path in paths}
    return tuple(
        SourceFile(path, _meant(written[path]) if meaning else written[path], written[path]) for path in sorted(paths)
    )


def reached(entries: Iterable[str], roots: tuple[str, ...], exists: Exists, text: Text) -> tuple[str, ...]:
    """The modules that ``entries`` import, directly or not, and the entries: paths, in the order in which they are met.

    :param roots: the folders in which absolute imports are looked up, in this order.
    :raises MegbuildError: MB210 for a file that is not valid Python.
    """
    found: dict[str, None] = {}
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            waiting += _imports(_parse(path, text(path) or ""), path, roots, exists)
    return tuple(found)


def canonical(tree: ast.Module, written: str) -> str:
    """The text of a module without comments and formatting; the text as written where that would not mean the same."""
    try:
        text = printed(tree)
        same = ast.dump(ast.parse(text)) == ast.dump(tree)
    except (Unprintable, SyntaxError, RecursionError):
        return written
    return text if same and _is_utf8(written) else written


@lru_cache(_KEPT)
def _meant(written: str) -> str:
    return canonical(_tree(written), written)


def _is_utf8(written: str) -> bool:
    """Whether Python reads the file as we do; an encoding that it declares in a comment would be lost with it."""
    try:
        return tokenize.detect_encoding(BytesIO(written.encode()).readline)[0] in ("utf-8", "utf-8-sig")
    except SyntaxError:
        return False


def written_line(written: str, line: int) -> int:
    """The line of the user's file that became ``line`` of its canonical form; ``line`` itself where they are one.

    Both texts parse to the same tree, so the nodes of the two correspond one to one.
    """
    tree = _tree(written)
    shown = canonical(tree, written)
    if shown == written:
        return line
    best = (0, line)
    for original, copy in zip(ast.walk(tree), ast.walk(ast.parse(shown)), strict=True):
        start = getattr(copy, "lineno", 0)
        if best[0] < start <= line:
            best = (start, getattr(original, "lineno", line))
    return best[1]


def _parse(path: str, text: str) -> _Imports:
    hint = "training code must parse before it can be staged"
    try:
        return _read(text)
    except SyntaxError as error:
        where = Location(path, error.lineno or 0, error.offset or 0)
        raise fail("MB210", f"not valid Python: {error.msg}", hint, where) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise fail("MB210", f"not valid Python: {error or 'nested too deeply'}", hint, Location(path)) from None


def _tree(text: str) -> ast.Module:
    return ast.parse(text.removeprefix("\ufeff"))


@lru_cache(_KEPT)
def _read(text: str) -> _Imports:
    """What a module's text says of imports, wherever it lies."""
    tree = _tree(text)
    modules: list[tuple[int, tuple[str, ...]]] = []
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            modules += [(0, tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = tuple(node.module.split(".")) if node.module else ()
            modules += [(node.level, parts), *((node.level, (*parts, alias.name)) for alias in node.names)]
    return _Imports(tuple(dict.fromkeys(modules)), tuple(_exported(tree)))


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block and of the blocks in it. Expressions, most of a tree, hold none."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody"):
            waiting += getattr(node, name, ())
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            waiting += part.body


def _imports(found: _Imports, path: str, roots: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The workspace files that the statements of one module import."""
    if PurePosixPath(path).name == "__init__.py":
        for name in found.exported:  # `from package import *` imports the modules among them
            yield from _module((name,), (str(PurePosixPath(path).parent),), exists)
    for level, parts in found.modules:
        bases = roots
        if level:
            folder = PurePosixPath(path).parent
            for _ in range(level - 1):
                folder = folder.parent
            bases = (str(folder),)
        yield from _module(parts, bases, exists)


def _exported(tree: ast.Module) -> Iterator[str]:
    """The names that a module's ``__all__`` lists as literals."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
                    yield part.value


def _module(parts: tuple[str, ...], bases: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The files of module ``a.b.c`` under the first base that has any of them: the packages on the way and the module."""
    for base in bases:
        folder = "" if base == "." else f"{base}/"
        files = []
        for depth in range(1, len(parts) + 1):
            stem = folder + "/".join(parts[:depth])
            files += [name for name in (f"{stem}/__init__.py", f"{stem}.py") if exists(name)]
        if not parts and exists(f"{folder}__init__.py"):
            files = [f"{folder}__init__.py"]
        if files:
            yield from files
            return
