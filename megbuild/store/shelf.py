"""A shelf: values that wait on the disk until their turn comes, in a file that has no name and ends with the process."""

from __future__ import annotations

import copyreg
import os
import pickle
import tempfile
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

from megbuild.store.durable import unwritable, write_all

Value = TypeVar("Value")
_BLOCK = 500
"""Values that lie on a shelf as one: with what they share they take a third of the space."""


def _frozen(mapping: dict[object, object]) -> MappingProxyType[object, object]:
    return MappingProxyType(mapping)


copyreg.pickle(MappingProxyType, lambda mapping: (_frozen, (dict(mapping),)))


def pickled(value: object) -> bytes:
    """A value as bytes."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


class Shelf(Generic[Value]):
    """Values by the numbers under which they were put away; what comes back is equal, and another object.

    Nobody else can write to the file, so what it holds is as good as memory. Threads may share a shelf.

    :param folder: where the file lies: with the workspace rather than in a temporary folder, which may be memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1
        self._ends = array("q", [0])
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def put(self, value: Value) -> int:
        """Put a value away; its number."""
        content = pickled(value)
        with self._lock:
            try:
                if self._descriptor < 0:
                    self._descriptor = self._open()
                write_all(self._descriptor, content)
            except OSError as error:
                raise unwritable(self._folder / "shelf", error) from error
            self._ends.append(self._ends[-1] + len(content))
            return len(self._ends) - 2

    def get(self, number: int) -> Value:
        """A value that was put away."""
        start, end = self._ends[number], self._ends[number + 1]
        value: Value = pickle.loads(os.pread(self._descriptor, end - start, start))
        return value

    def _open(self) -> int:
        folder = self._folder if os.access(self._folder, os.W_OK) else None  # a plan writes nothing of its own
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.dup(file.fileno())


class Shelved(Sequence[Value]):
    """Values that are gone through from the first to the last: they lie on a shelf, ``_BLOCK`` together, and few never get there.

    What comes back is equal to what was put in, and for each block the same object as long as no other is asked for.
    """

    def __init__(self, values: Iterable[Value], folder: Path) -> None:
        self._shelf: Shelf[tuple[Value, ...]] = Shelf(folder)
        self._last: tuple[Value, ...] = ()
        self._near: tuple[int, tuple[Value, ...]] = (-1, ())
        rest = iter(values)
        while some := tuple(islice(rest, _BLOCK)):
            if self._last:
                self._shelf.put(self._last)
            self._last = some

    def __len__(self) -> int:
        return len(self._shelf) * _BLOCK + len(self._last)

    def __iter__(self) -> Iterator[Value]:
        for number in range(len(self._shelf)):
            yield from self._shelf.get(number)
        yield from self._last

    def __getitem__(self, place: int) -> Value:  # type: ignore[override]
        if not 0 <= place < len(self):
            raise IndexError(place)
        number, at = divmod(place, _BLOCK)
        if number == len(self._shelf):
            return self._last[at]
        near = self._near
        if near[0] != number:
            near = self._near = (number, self._shelf.get(number))
        return near[1][at]
