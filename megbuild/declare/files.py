"""The files that a model names: each must lie in the workspace, exist, and hold what is said of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from megbuild.declare import toml_file
from megbuild.declare.functions import defined
from megbuild.declare.hints import closest, did_you_mean, quoted
from megbuild.declare.models import EntryPoint, Pinned
from megbuild.declare.positions import Place
from megbuild.declare.schema import Paths, PinnedTable
from megbuild.declare.tree import MOST_FOLDERS, TooWide, Tree, is_glob, workspace_path
from megbuild.errors import Location, MegbuildError, Problem

ENTRY = re.compile(r"(.+\.py):([^\W\d]\w*)")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
SAMPLES = (".npy", ".npz")
_REMEMBERED = 256
"""Source files whose functions are known at a time: models that share one mostly stand together."""


@dataclass
class Files:
    """Looks at the files of one workspace, and collects what is wrong with them."""

    tree: Tree
    problems: list[Problem]
    defined: dict[str, frozenset[str]] = field(default_factory=dict)
    """The names of functions that stand at the start of a line, by source file."""

    def file(self, text: str, package: str, place: Place) -> str:
        """The workspace-relative path of a file that must be there; empty after a problem."""
        path = self._path(text, package, place)
        return path if path and self._is_file(path, place) else ""

    def entry(self, text: str, package: str, place: Place) -> EntryPoint | None:
        """A function of the user's training code."""
        match = ENTRY.fullmatch(text)
        if not match:
            name = place.keys[-1]
            hint = f'write {name} = "file.py:function"'
            self.problems.append(Problem("MB112", f"{name} = {quoted(text)} names no function of a file", hint, place))
            return None
        path = self.file(match[1], package, place)
        if not path or not self._has_function(path, match[2], place):
            return None
        return EntryPoint(path, match[2])

    def pinned(self, table: PinnedTable, package: str, place: Place) -> Pinned | None:
        """A delivered file; that its digest is the one declared is checked when it is used."""
        path = self.file(table.path, package, place.at("path"))
        if not SHA256.fullmatch(table.sha256):
            hint = (
                f'sha256 = "{_sha256(self.tree.absolute(path))}" if the file is the right one'
                if path
                else "use sha256sum"
            )
            message = "sha256 must be 64 hexadecimal digits"
            self.problems.append(Problem("MB114", message, hint, place.at("sha256")))
            return None
        return Pinned(path, table.sha256.lower()) if path else None

    def samples(self, texts: Paths, package: str, place: Place) -> tuple[str, ...]:
        """Globs of arrays; each must match something, and nothing else."""
        globs = []
        for text, at in _each(texts, place):
            path = self._path(text, package, at)
            found = self._matches(path, text, at) if path else ()
            other = next((name for name in found if not name.endswith(SAMPLES)), "")
            if other:
                message = f"{quoted(text)} matches {other}, which is not .npy or .npz"
                self.problems.append(Problem("MB113", message, f'write {place.keys[-1]} = "folder/*.npy"', at))
            elif found:
                globs.append(path)
        return tuple(globs)

    def data(self, texts: Paths, package: str, place: Place) -> tuple[str, ...]:
        """Files that code reads: each named, matched by a glob, or below a folder; sorted."""
        found: set[str] = set()
        for text, at in _each(texts, place):
            path = self._path(text, package, at)
            if not path:
                continue
            if self.tree.kind(path) == "folder":
                found.update(self._matches(f"{path}/**", text, at))
            elif is_glob(path):
                found.update(self._matches(path, text, at))
            elif self._is_file(path, at):
                found.add(path)
        return tuple(sorted(found))

    def _matches(self, pattern: str, text: str, place: Place) -> tuple[str, ...]:
        """The files that a glob means."""
        try:
            found = self.tree.glob(pattern)
        except TooWide:
            message = f"{quoted(text)} leads through more than {MOST_FOLDERS} folders"
            hint = "name the folders, or take away links that lead back to folders above them"
            self.problems.append(Problem("MB139", message, hint, place))
            return ()
        if not found:
            hint = "paths are relative to the folder of this file, or with // to the root of the workspace"
            self.problems.append(Problem("MB113", f"{quoted(text)} matches no file", hint, place))
        return found

    def _path(self, text: str, package: str, place: Place) -> str:
        path, complaint = workspace_path(text, package)
        if complaint:
            hint = "write a path below the folder of this file, or with // from the root of the workspace"
            self.problems.append(Problem("MB110", f"path {quoted(text)} {complaint}", hint, place))
        return path

    def _is_file(self, path: str, place: Place) -> bool:
        kind = self.tree.kind(path)
        if kind == "file":
            return True
        if kind == "outside":
            hint = "copy what it leads to into the workspace"
            self.problems.append(Problem("MB110", f"{path} leaves the workspace through a link", hint, place))
        elif kind == "folder":
            self.problems.append(Problem("MB111", f"{path} is a folder, not a file", "", place))
        elif kind == "special":
            hint = "put a file in its place"
            self.problems.append(Problem("MB136", f"{path} is a pipe, a socket or a device", hint, place))
        else:
            folder, _, name = path.rpartition("/")
            suffix = name[name.rfind(".") :] if "." in name else ""
            near = closest(
                name,
                (other for other in self.tree.listing(folder).files if other.endswith(suffix) and other.isprintable()),
            )
            self.problems.append(
                Problem("MB111", f"there is no file {path}", f'did you mean "{near}"?' if near else "", place)
            )
        return False

    def _has_function(self, path: str, name: str, place: Place) -> bool:
        """Whether a module defines ``name``. Parsing it is left for the case that a look at its lines does not settle."""
        if path not in self.defined:
            try:
                data = toml_file.read_bytes(self.tree.absolute(path), path)
            except MegbuildError as error:
                self.problems.extend(error.problems)
                return False
            if len(self.defined) == _REMEMBERED:
                self.defined.clear()
            self.defined[path] = defined(data)
        if name in self.defined[path]:
            return True
        try:
            module = ast.parse(toml_file.read_bytes(self.tree.absolute(path), path))
        except SyntaxError as error:
            where = Location(path, error.lineno or 0, error.offset or 0)
            self.problems.append(Problem("MB112", f"is not valid Python: {error.msg}", "", where))
            return False
        except (ValueError, RecursionError, MemoryError):
            self.problems.append(Problem("MB112", "is not valid Python", "", Location(path)))
            return False
        names = list(_top_level(module.body))
        if name in names or "*" in names:
            return True
        self.problems.append(Problem("MB112", f"{path} has no function {name}", did_you_mean(name, names), place))
        return False


def _each(texts: Paths, place: Place) -> Iterator[tuple[str, Place]]:
    """The entries of a value that is a string or a list of them, with their places."""
    if isinstance(texts, str):
        yield texts, place
    else:
        yield from ((text, place.at(number)) for number, text in enumerate(texts))


def _top_level(body: list[ast.stmt]) -> Iterator[str]:
    """Every name that running the statements may define; ``*`` for an import of everything."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name
            continue
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in statement.names)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)


def _sha256(path: str) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
