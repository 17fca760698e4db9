"""A file of many named parts, of which a reader fetches those that it needs, and tables that are kept in one.

The workspace's state is such a file: a build of one model reads that model's part of it, however many there are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import msgspec

from megbuild.store.durable import placing, write_all
from megbuild.store.shelf import Shelf

Value = TypeVar("Value")
_Place = tuple[int, int, int]
"""Where a part begins, its length, its checksum."""
_END = 16
"""The last bytes of the file: where the index begins, and its checksum."""
_PIECE = 1 << 20


class Parts:
    """A file of parts, open for reading: the head, the parts, an index of them, where that begins and its checksum."""

    def __init__(self, path: Path, head: bytes) -> None:
        """Reads the index only.

        :raises FileNotFoundError: when there is no file.
        :raises ValueError: when it is another kind of file, or a damaged one.
        """
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._descriptor).st_size
        if os.pread(self._descriptor, len(head), 0) != head:
            raise ValueError("it is of another version of megbuild")
        end = os.pread(self._descriptor, _END, max(0, self.size - _END))
        start = int.from_bytes(end[:8], "big")
        index = os.pread(self._descriptor, max(0, self.size - _END - start), start) if start <= self.size else b""
        if self.size < len(head) + _END or crc32(index) != int.from_bytes(end[8:], "big"):
            raise ValueError("it was damaged on the disk")
        self._places: dict[str, _Place] = msgspec.msgpack.decode(index, type=dict[str, _Place])

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def read(self, name: str) -> bytes:
        """The content of a part; a ValueError when it was damaged."""
        start, length, checksum = self._places[name]
        content = os.pread(self._descriptor, length, start)
        if crc32(content) != checksum:
            raise ValueError("it was damaged on the disk")
        return content


def write_parts(path: Path, head: bytes, parts: Iterable[tuple[str, bytes]]) -> None:
    """Write a file of parts, whole or not at all; no more than a few of them are in memory at a time."""
    index, count = bytearray(), 0  # a map of msgpack; as a dict it would take most of the memory of a large state
    with placing(path) as target:
        gathered, start = bytearray(head), len(head)
        for name, content in parts:
            index += msgspec.msgpack.encode(name) + msgspec.msgpack.encode((start, len(content), crc32(content)))
            count += 1
            gathered += content
            start += len(content)
            if len(gathered) > _PIECE:
                write_all(target, bytes(gathered))
                gathered.clear()
        index[:0] = b"\xdf" + count.to_bytes(4, "big")
        write_all(target, bytes(gathered))
        write_all(target, bytes(index) + start.to_bytes(8, "big") + crc32(index).to_bytes(8, "big"))


class Table(MutableMapping[str, Value]):
    """A mapping whose entries lie in parts, by ``part_of`` their key; a part is fetched when one of them is asked for.

    ``fetch`` gives the entries of a part as they are stored, nothing for a part that is not there; ``stored`` gives
    the names of those that are. ``changed`` are the keys that were set or removed since it was last cleared. Threads
    may share a table.
    """

    def __init__(
        self,
        part_of: Callable[[str], str],
        fetch: Callable[[str], dict[str, Value]],
        stored: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.part_of = part_of
        self.changed: set[str] = set()
        self._fetch = fetch
        self._stored = stored
        self._parts: dict[str, dict[str, Value]] = {}
        self._touched: set[str] = set()
        """Of the parts in memory: those that differ from what is stored, or put away."""
        self._away: dict[str, int] = {}
        """The parts that differ from what is stored, by where they were put away."""
        self._shelf: Shelf[dict[str, Value]] | None = None
        self._lock = threading.RLock()

    def part(self, name: str) -> dict[str, Value]:
        """The entries of one part, which stays in memory."""
        with self._lock:
            found = self._parts.get(name)
            if found is None:
                found = self._parts[name] = self.look(name)
            return found

    def look(self, name: str) -> dict[str, Value]:
        """The same, for who looks at all of them one after the other."""
        with self._lock:
            if name in self._parts:
                return self._parts[name]
            if name in self._away and self._shelf:
                return self._shelf.get(self._away[name])
        return self._fetch(name)

    def differs(self, name: str) -> bool:
        """Whether a part is not as it is stored."""
        return name in self._touched or name in self._away

    def touch(self, names: Iterable[str]) -> None:
        """Take these parts to differ from what is stored."""
        for name in names:
            self.part(name)
            self._touched.add(name)

    def names(self) -> list[str]:
        """The parts that there are."""
        return list({*self._stored(), *self._parts, *self._away})

    def put_away(self, shelf: Shelf[dict[str, Value]]) -> None:
        """Let go of what is in memory: what differs from what is stored goes to the shelf, always the same one."""
        with self._lock:
            self._shelf = shelf
            self._away |= {name: shelf.put(self._parts[name]) for name in self._touched}
            self._touched.clear()
            self._parts.clear()

    def saved(self) -> None:
        """Everything is stored as it is."""
        with self._lock:
            self._touched.clear()
            self._away.clear()

    def __getitem__(self, key: str) -> Value:
        return self.part(self.part_of(key))[key]

    def __setitem__(self, key: str, value: Value) -> None:
        name = self.part_of(key)
        with self._lock:
            self.part(name)[key] = value
            self._touched.add(name)
            self.changed.add(key)

    def __delitem__(self, key: str) -> None:
        name = self.part_of(key)
        with self._lock:
            del self.part(name)[key]
            self._touched.add(name)
            self.changed.add(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self.part(self.part_of(key))

    def __iter__(self) -> Iterator[str]:
        for name in self.names():
            yield from self.look(name)

    def __len__(self) -> int:
        return sum(len(self.look(name)) for name in self.names())
