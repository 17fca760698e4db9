"""Looking at thousands of files of a note: no file costs a Python object.

The kernel walks every component of a path, so files are looked at from the folder that many of them share (``runs`` of
a note). Either ``moved.c`` compares them, compiled by ``./doit``, or the C library's own ``stat`` fills records that are
compared column by column. Both are called by what ctypes is made of, because ctypes itself takes longer to load than
this saves.
"""

from __future__ import annotations

import os
from itertools import accumulate, islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from megbuild.store.noop import Note

    Looking = Callable[[int, int, int, int], list[int]]
    """Looks at files of a note from the current folder; gives the positions of those that have moved. It is given the
    first file's position, how many there are, the first path's place in memory, and how many bytes of each path are the folder."""

LIBRARY = __file__.rpartition("/megbuild/store/")[0] + "/.venv/megbuild/moved.so"
"""Where :mod:`megbuild.cli.environment` puts the compiled comparison."""
_COLUMNS = (1, 6, 11, 12, 13, 14)
"""Where inode, size, mtime and ctime stand in C's ``struct stat``, in words; checked before it is relied on."""
_RECORD = 128
"""Bytes from one ``struct stat`` to the next: each is longer, but what it has beyond is of no use."""
_CHUNK = 4096
"""Files whose stamps are compared at a time: their records stay in the processor's cache."""
_SECOND = 1_000_000_000


def moved(note: Note, workspace: str) -> list[int] | None:
    """The positions of the present paths that do not look as noted; None where only Python can say.

    The current folder is the workspace, before and after.
    """
    looking = by_library(note) or by_stat(note)
    return None if looking is None else _moved(note, workspace, looking)


def _moved(note: Note, workspace: str, looking: Looking) -> list[int]:
    found: list[int] = []
    first, place = 0, address(note.content) + len(note.content) - len(note.names) - len(note.tail)
    try:
        for folder, count in note.runs:
            try:
                os.chdir(os.path.join(workspace, folder))
                found += looking(first, count, place, len(os.fsencode(folder)) + 1 if folder else 0)
            except OSError:  # it is gone, and they with it
                found += range(first, first + count)
            place += sum(note.lengths[first : first + count])
            first += count
    finally:
        os.chdir(workspace)
    return found


def by_library(note: Note, library: str = LIBRARY) -> Looking | None:
    """The compiled comparison; None where it was not compiled, or for another machine."""
    try:
        import _ctypes

        words = (_number("q"),) * 7
        compare = _function(_ctypes.dlopen(library, 0), "megbuild_moved", "q", words)
    except (ImportError, AttributeError, OSError, TypeError, ValueError):
        return None
    lengths = address(note.content) + len(note.content) - len(note.names) - len(note.tail) - 50 * note.count
    stamps = lengths + 2 * note.count
    positions = bytearray(4 * max((count for _, count in note.runs), default=0) + 4)
    answer, at = memoryview(positions).cast("i"), address(positions)

    def look(first: int, count: int, place: int, skip: int) -> list[int]:
        many: int = compare(place, skip, lengths + 2 * first, stamps + 8 * first, note.count, count, at)
        return [first + position for position in answer[:many]]

    return look


def by_stat(note: Note) -> Looking | None:
    """C's ``stat``, one call a file; None where it is not to be had or lays out its records in another way."""
    try:
        import _ctypes

        stat = _function(_ctypes.dlopen(None, 0), "stat", "i", (_number("P"),) * 2)  # type: ignore[arg-type]
        records = bytearray(_CHUNK * _RECORD + 256)
        words, begin = memoryview(records).cast("q"), address(records)
        path = bytearray(b".\0")
        if stat(address(path), begin) or tuple(words[at] for at in _COLUMNS) != _told(os.stat(".")):
            return None
    except (ImportError, AttributeError, OSError, TypeError, ValueError):
        return None

    def look(first: int, count: int, place: int, skip: int) -> list[int]:
        names = accumulate(note.lengths[first : first + count], initial=place + skip)
        found: list[int] = []
        for start in range(first, first + count, _CHUNK):
            size = min(_CHUNK, first + count - start)
            failed = list(map(stat, islice(names, size), range(begin, begin + size * _RECORD, _RECORD)))
            now = [words[at : size * 16 : 16] for at in _COLUMNS]
            seen = [column[start : start + size] for column in note.columns]
            if now != seen or any(failed):
                rows = zip(failed, zip(*now, strict=True), zip(*seen, strict=True), strict=True)
                found += [start + at for at, (status, new, old) in enumerate(rows) if status or new != old]
        return found

    return look


def address(buffer: bytearray) -> int:
    """Where a buffer lies in memory."""
    import _ctypes

    class One(_ctypes.Array):  # type: ignore[type-arg]
        _type_ = _number("b")
        _length_ = 1

    return _ctypes.addressof(One.from_buffer(buffer))


def _number(code: str) -> type:
    """A kind of number of C, by the letter that the module struct has for it."""
    from _ctypes import _SimpleCData

    class Number(_SimpleCData):  # type: ignore[type-arg]
        _type_ = code

    return Number


def _function(library: int, name: str, gives: str, takes: tuple[type, ...]) -> Callable[..., int]:
    """A function of a library that was opened."""
    import _ctypes

    class Function(_ctypes.CFuncPtr):
        _flags_ = 1 | 4  # C's calling convention, and without letting go of the interpreter: nobody waits for it
        _restype_ = _number(gives)
        _argtypes_ = takes

    return Function(_ctypes.dlsym(library, name))


def _told(status: os.stat_result) -> tuple[int, ...]:
    inode = status.st_ino - (1 << 64) if status.st_ino >= 1 << 63 else status.st_ino
    times = *divmod(status.st_mtime_ns, _SECOND), *divmod(status.st_ctime_ns, _SECOND)
    return (inode, status.st_size, *times)
