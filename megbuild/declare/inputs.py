"""The files that a model declares as its inputs, entry by entry as they are written, with the place of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from megbuild.declare import toml_file
from megbuild.declare.files import Files
from megbuild.declare.models import Model
from megbuild.declare.positions import Place
from megbuild.declare.tree import Tree
from megbuild.errors import Where


class Declared(Struct, frozen=True):
    """A path, glob or folder under a key of a model, and the files that it means, workspace-relative."""

    key: str
    text: str
    paths: tuple[str, ...]
    where: Where


def inputs_of(model: Model, root: str) -> tuple[Declared, ...]:
    """What a model declares beside its code; a delivered file is left out, which is always read to be checked."""
    if not isinstance(model.where, Place):
        return ()
    place = model.where
    table: Any = toml_file.read(place.path, place.file)
    for key in place.keys:
        table = table[key]
    files = Files(Tree(root), [])
    found = []
    for key in ("data", "samples", "calibration", "labels"):
        for text, at in _entries(table.get(key, ()), place.at(key)):
            if key == "labels":
                paths = tuple(path for path in [files.file(text, model.package, at)] if path)
            elif key == "data":
                paths = files.data(text, model.package, at)
            else:
                paths = tuple(path for glob in files.samples(text, model.package, at) for path in files.tree.glob(glob))
            found.append(Declared(key, text, paths, at))
    return tuple(found)


def _entries(value: Any, place: Place) -> Iterator[tuple[str, Place]]:
    if isinstance(value, str):
        yield value, place._replace(key=False)
    else:
        yield from ((text, place.at(number)._replace(key=False)) for number, text in enumerate(value))
