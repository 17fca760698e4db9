"""Where a value of a TOML file stands: looked up only when a problem has to point at it.

tomli gives values without positions. Checks therefore name a value by its keys (a Place); the file is parsed a
second time, by tree-sitter, when a Place is shown to someone. The good path never gets here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from megbuild.errors import Location

if TYPE_CHECKING:
    from tree_sitter import Node

Keys = tuple[str | int, ...]
Point = tuple[int, int]
"""Line and column in characters, both counted from 1."""
_Mark = tuple[int, int]
"""The same in lines and bytes, both counted from 0: what becomes a point when somebody asks for it."""
_DEEPEST = 16
"""Keys one below the other that are looked up; no value that a check speaks of lies deeper."""


class Place(NamedTuple):
    """A value of a TOML file, by its keys: ``("models", "resnet18", "inputs", 0)``.

    ``file`` is how the user is shown the file, ``path`` where it is. ``key`` points at the key, not at the value.
    A tuple, because every check of the good path makes one and throws it away.
    """

    file: str
    path: str
    keys: Keys = ()
    key: bool = False

    def at(self, *keys: str | int) -> Place:
        """The value below this one."""
        return Place(self.file, self.path, (*self.keys, *keys))

    def key_of(self, *keys: str | int) -> Place:
        """The key of a value below this one, or of this one."""
        return Place(self.file, self.path, (*self.keys, *keys), True)

    def located(self) -> Location:
        """The line and column; those of the nearest enclosing table when the value is not written in the file."""
        try:
            positions = index(Path(self.path).read_bytes())
        except OSError:
            return Location(self.file)
        for length in range(len(self.keys), 0, -1):
            found = positions.get(self.keys[:length])
            if found:
                return Location(self.file, *found[0 if self.key or length < len(self.keys) else 1])
        return Location(self.file, 1, 1)

    def __str__(self) -> str:
        return str(self.located())


@lru_cache(maxsize=32)
def index(data: bytes) -> Positions:
    """The positions of every key and value in a TOML file; of a broken file, those that can be made out."""
    import tree_sitter
    import tree_sitter_toml

    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    walk = _Walk()
    walk.document(parser.parse(data).root_node)
    return Positions(data.split(b"\n"), walk.found)


class Positions(Mapping[Keys, tuple[Point, Point]]):
    """Of every value of a file: where its key stands, and where the value itself does."""

    def __init__(self, lines: list[bytes], found: Mapping[Keys, tuple[_Mark, _Mark]]) -> None:
        self._lines = lines
        self._found = found

    def __getitem__(self, keys: Keys) -> tuple[Point, Point]:
        key, value = self._found[keys]
        return self._point(key), self._point(value)

    def __iter__(self) -> Iterator[Keys]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _point(self, mark: _Mark) -> Point:
        row, column = mark
        line = self._lines[row] if row < len(self._lines) else b""
        return row + 1, len(line[:column].decode("utf-8", "replace")) + 1


class _Walk:
    """One pass over the syntax tree of a file."""

    def __init__(self) -> None:
        self.found: dict[Keys, tuple[_Mark, _Mark]] = {}
        self.elements: dict[Keys, int] = {}
        """How many ``[[elements]]`` each array of tables has so far."""

    def document(self, root: Node) -> None:
        for node in root.children:
            if node.type == "pair":
                self.pair((), node)
            elif node.type in ("table", "table_array_element"):
                self.table(node)

    def table(self, node: Node) -> None:
        keys: Keys = ()
        header = next((child for child in node.children if child.type.endswith("_key")), None)
        if header is None:
            return
        parts = list(_parts(header))
        for number, (name, part) in enumerate(parts):
            keys = (*keys, name)
            self.note(keys, part, part)
            if node.type == "table_array_element" and number == len(parts) - 1:
                self.elements[keys] = self.elements.get(keys, 0) + 1
            if keys in self.elements:
                keys = (*keys, self.elements[keys] - 1)
                self.note(keys, part, part)
        for child in node.children:
            if child.type == "pair":
                self.pair(keys, child)

    def pair(self, keys: Keys, node: Node) -> None:
        header, *rest = (child for child in node.children if child.is_named and child.type != "comment")
        value = rest[0] if rest else header
        for name, part in _parts(header):
            keys = (*keys, name)
            self.note(keys, part, value)
        self.value(keys, value)

    def value(self, keys: Keys, node: Node) -> None:
        inner = [child for child in node.children if child.is_named and child.type != "comment"]
        if len(keys) > _DEEPEST:
            return
        if node.type == "inline_table":
            for child in inner:
                if child.type == "pair":
                    self.pair(keys, child)
        elif node.type == "array":
            for number, child in enumerate(inner):
                self.note((*keys, number), child, child)
                self.value((*keys, number), child)

    def note(self, keys: Keys, key: Node, value: Node) -> None:
        if keys not in self.found:
            self.found[keys] = (_mark(key), _mark(value))


def _mark(node: Node) -> _Mark:
    row, column = node.start_point
    return row, column


def _parts(node: Node) -> Iterator[tuple[str, Node]]:
    """The single keys of a possibly dotted one, unquoted; of a very long one, the first."""
    import tomli

    last_first = []
    while node.type == "dotted_key":  # a.b.c is the dotted key a.b, and c
        node, *rest = (child for child in node.children if child.type.endswith("_key"))
        last_first += rest[::-1]
    if node.type.endswith("_key"):
        last_first.append(node)
    for node in last_first[-_DEEPEST:][::-1]:
        text = (node.text or b"").decode("utf-8", "replace")
        if node.type == "bare_key":
            yield text, node
            continue
        try:
            yield next(iter(tomli.loads(f"{text} = 0"))), node
        except (tomli.TOMLDecodeError, StopIteration):
            yield text, node
