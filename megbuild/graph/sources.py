"""Training code by meaning: the import closure inside the workspace, and the canonical form of each file.

What is staged for an action is the canonical form (parsed and unparsed: no comments, no formatting), so the action
cannot see what its key does not cover. A module that is imported in a way no parser can follow is not staged, and
the action fails on it instead of reading something that is not in its key.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import PurePosixPath

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


def closure(entry: str, exists: Exists, text: Text, *, meaning: bool = True) -> tuple[SourceFile, ...]:
    """Every file of the workspace that ``entry`` imports, directly or not, sorted by path.

    Absolute imports are looked up beside the entry file first (as when a script is run), then from the workspace's
    root; packages bring their ``__init__.py``.

    :param exists: whether a workspace-relative path is a file.
    :param text: the text of a workspace-relative file.
    :raises MegbuildError: MB210 for a file that is not valid Python.
    """
    trees = reached([entry], (str(PurePosixPath(entry).parent), "."), exists, text)
    written = {path: text(path) or "" for path in trees}
    return tuple(
        SourceFile(path, canonical(trees[path], written[path]) if meaning else written[path], written[path])
        for path in sorted(trees)
    )


def reached(entries: Iterable[str], roots: tuple[str, ...], exists: Exists, text: Text) -> dict[str, ast.Module]:
    """The syntax trees of the modules that ``entries`` import, directly or not, and of the entries, by path.

    :param roots: the folders in which absolute imports are looked up, in this order.
    :raises MegbuildError: MB210 for a file that is not valid Python.
    """
    found: dict[str, ast.Module] = {}
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = _parse(path, text(path) or "")
            waiting += _imports(found[path], path, roots, exists)
    return found


def canonical(tree: ast.Module, written: str) -> str:
    """The text of a module without comments and formatting; the text as written where that would not mean the same."""
    try:
        text = printed(tree)
        same = ast.dump(ast.parse(text)) == ast.dump(tree)
    except (Unprintable, SyntaxError, RecursionError):
        return written
    return text if same and _is_utf8(written) else written


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


def _parse(path: str, text: str) -> ast.Module:
    hint = "training code must parse before it can be staged"
    try:
        return _tree(text)
    except SyntaxError as error:
        where = Location(path, error.lineno or 0, error.offset or 0)
        raise fail("MB210", f"not valid Python: {error.msg}", hint, where) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise fail("MB210", f"not valid Python: {error or 'nested too deeply'}", hint, Location(path)) from None


def _tree(text: str) -> ast.Module:
    return ast.parse(text.removeprefix("\ufeff"))


def _imports(tree: ast.Module, path: str, roots: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The workspace files that the statements of one module import."""
    if PurePosixPath(path).name == "__init__.py":
        for name in _exported(tree):  # `from package import *` imports the modules among them
            yield from _module([name], (str(PurePosixPath(path).parent),), exists)
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


def _exported(tree: ast.Module) -> Iterator[str]:
    """The names that a module's ``__all__`` lists as literals."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
                    yield part.value


def _module(parts: list[str], bases: tuple[str, ...], exists: Exists) -> Iterator[str]:
    """The files of module ``a.b.c`` under the first base that has any of them: the packages on the way and the module."""
    for base in bases:
        files = []
        for depth in range(1, len(parts) + 1):
            stem = PurePosixPath(base, *parts[:depth])
            files += [
                str(name) for name in (stem / "__init__.py", stem.with_name(stem.name + ".py")) if exists(str(name))
            ]
        if not parts and exists(str(PurePosixPath(base, "__init__.py"))):
            files = [str(PurePosixPath(base, "__init__.py"))]
        if files:
            yield from files
            return
