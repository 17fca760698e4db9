"""The declarations of a build, kept beside its note: a build of a few models takes theirs from there (docs/adr/0040).

A note says that nothing has moved which a load reads: MODELS.toml, rules, toolchains, hardware. So a load would give
what it gave when the note was made, as long as the files that the models themselves name are still what they were:
plain files, with the functions that the declarations speak of. Any doubt leads to a load.
"""

from __future__ import annotations

import marshal
import os
import pickle
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec
from msgspec.structs import replace

import megbuild
from megbuild.declare import rules, toml_file
from megbuild.declare.functions import defined
from megbuild.declare.models import InstalledRule, Model, Workspace
from megbuild.errors import MegbuildError
from megbuild.store.noop import Looked, kept_path, note_path
from megbuild.store.parts import Parts, write_parts
from megbuild.store.shelf import pickled

_WHOLE = "workspace"
"""The part that holds all but the models."""
_MODELS = "models"
"""The first word of the parts that hold those of a package."""
_HERE = Path(megbuild.__file__).parent


def keep(workspace: Workspace, path: Path) -> str:
    """Keep the declarations in a file, package by package; gives the name that a note has to know it by."""
    name = os.urandom(8).hex()
    write_parts(path, _head(name), _parts(workspace))
    return name


def kept(looked: Looked, labels: Collection[str]) -> Workspace | None:
    """What a load of these models would give, as far as a build of them needs it; None where only a load can tell.

    ``looked`` is a note that has moved for these models only.
    """
    try:
        name = looked.note.kept()
        if not name or not _as_they_were(looked):
            return None
        parts = Parts(Path(kept_path(note_path(looked.workspace, looked.note.selection))), _head(name))
        models = tuple(_models(parts, labels))
        if len(models) != len(labels) or _lacking(looked, models):
            return None
        return _workspace(parts, models)
    except (OSError, ValueError, KeyError, MegbuildError):
        return None


def _head(name: str) -> bytes:
    """What the file begins with: it is only for the note that knows its name, and for the very code that wrote it."""
    code = [(entry.name, entry.stat()) for entry in os.scandir(_HERE / "declare") if entry.name.endswith(".py")]
    code += [(name, (_HERE / name).stat()) for name in ("rule.py", "errors.py")]
    stamps = sorted((name, status.st_mtime_ns, status.st_size) for name, status in code)
    said = (name, megbuild.__version__, sys.version, msgspec.__version__, str(_HERE), stamps)
    return f"megbuild declared 1 {said}\n".encode()


def _parts(workspace: Workspace) -> Iterator[tuple[str, bytes]]:
    whole = replace(workspace, models=(), rules=(), read=(), listed=(), code={})
    folders = {rule.folder: rule.origin for rule in workspace.rules}
    code = [(folder, origin, marshal.dumps(workspace.code[folder])) for folder, origin in folders.items()]
    yield _WHOLE, pickled((whole, code))
    for package, models in groupby(workspace.models, lambda model: model.package):
        yield f"{_MODELS} {package}", pickled({model.name: pickled(model) for model in models})


def _models(parts: Parts, labels: Iterable[str]) -> Iterator[Model]:
    """The models of these labels, in the order of declaration."""
    wanted: dict[str, set[str]] = {}
    for label in labels:
        package, _, name = label.removeprefix("//").partition(":")
        wanted.setdefault(package, set()).add(name)
    for part in parts:
        kind, _, package = part.partition(" ")
        if kind == _MODELS and package in wanted:
            found: dict[str, bytes] = pickle.loads(parts.read(part))
            yield from (pickle.loads(found[name]) for name in found if name in wanted[package])


def _workspace(parts: Parts, models: tuple[Model, ...]) -> Workspace:
    whole, code = pickle.loads(parts.read(_WHOLE))
    found: list[InstalledRule] = []
    for folder, origin, content in code:
        found += rules.again(folder, origin, marshal.loads(content))
    complete: Workspace = replace(whole, models=models, rules=tuple(found))
    return complete


def _as_they_were(looked: Looked) -> bool:
    """Whether all that has moved is a plain file still, in the workspace and not by a link: a load asks no more of most."""
    if looked.came:
        return False
    for at in looked.moved:
        if looked.note.looker(at) == ():
            continue  # a folder in which only declarations matter, and these are what they were
        full = f"{looked.workspace}/{looked.note.path(at)}"
        if not stat.S_ISREG(os.lstat(full).st_mode) or os.path.realpath(full) != full:
            return False
    return True


def _lacking(looked: Looked, models: Iterable[Model]) -> bool:
    """Whether one of the files that have moved may have lost the function that a model names."""
    moved = set(map(looked.note.path, looked.moved))
    entries = (entry for model in models for entry in (model.source, model.train) if entry and entry.file in moved)
    return any(
        entry.function not in defined(toml_file.read_bytes(f"{looked.workspace}/{entry.file}", entry.file))
        for entry in entries
    )
