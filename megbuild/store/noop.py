"""The fast path of a build with nothing to do: one read, one ``stat`` a file, no other module of megbuild.

When a selection of labels was found up to date, everything that was looked at to find it is noted in a small file
of its own, ``.megbuild/fresh/<checksum of the selection>``. As long as none of it has moved, the selection is still
up to date. Whatever is wrong with the note, the answer is "not known" and the build takes the long way.

A note is one file that this machine wrote for itself, so its numbers are native::

    head, checksum of the facts, their length
    facts          marshal: selection, summary, outputs, environment, absent paths, runs, how many are present, bytes of their
                   names, checksum and bytes of the tail
    lengths        of every present path with its closing zero, two bytes each
    stamps         six columns of eight bytes each: inode, size, seconds and nanoseconds of mtime, the same of ctime
    paths          zero-terminated
    tail           marshal: for whom each path was looked at, and what folders declare; only a build that has
                   something to do reads it, and the name of what is kept of the declarations
"""

from __future__ import annotations

import marshal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    Seen = tuple[int, int, int, int]
    """A stamp: mtime and ctime in nanoseconds, size, inode."""
    Looker = str | tuple[str, ...]
    """For which models a path was looked at, or for none; the empty text: for the workspace as a whole."""

_HEAD = b"megbuild fresh 4\n"
_MARSHAL = 4
"""The version of the marshal format that every supported Python reads."""
_START = len(_HEAD) + 12
_SECOND = 1_000_000_000
_FEW = 4000
"""Fewer files are looked at sooner by os.stat than the C library is loaded."""
_PIECE = 4096
"""Paths that are taken at a time while a note is made."""
_MANY = 64
"""Paths below one folder, one after the other, for which it is worth while to go there."""


class Note:
    """What was noted of a selection; it holds no path as a text of its own until it is asked for one."""

    def __init__(self, content: bytearray, identity: tuple[int, int]) -> None:
        self.content = content
        self._paths: list[str] | None = None
        self._lookers: list[Looker] | None = None
        self._loaded_tail: tuple[list[Looker], memoryview, dict[str, tuple[str, ...]], str] | None = None
        self.identity = identity
        """Inode and time of change of its file: another note has another one."""
        if content[: len(_HEAD)] != _HEAD:
            raise ValueError("a note of another version")
        length = int.from_bytes(content[_START - 4 : _START], "little")
        facts = bytes(content[_START : _START + length])
        if _checksum(facts) != int.from_bytes(content[_START - 12 : _START - 4], "little"):
            raise ValueError("a damaged note")  # marshal must not see it
        self.selection: str
        self.summary: str
        self.outputs: int
        self.environment: dict[str, str | None]
        self.absent: list[str]
        self.runs: list[tuple[str, int]]
        """The present paths in order: a folder that all of so many lie below, the empty one for any."""
        self.count: int
        self.selection, self.summary, self.outputs, self.environment, self.absent, self.runs, *shapes = marshal.loads(
            facts
        )
        self.count, named, *tail = shapes
        self._tail_checksum, tail_length = tail
        view = memoryview(content)
        start = _START + length
        self.lengths = view[start : start + 2 * self.count].cast("H")
        start += 2 * self.count
        stamps = view[start : start + 48 * self.count].cast("q")
        self.columns = [stamps[at * self.count : (at + 1) * self.count] for at in range(6)]
        start += 48 * self.count
        self.names = view[start : start + named]
        self.tail = view[start + named :]
        sound = sum(self.lengths) == named == len(self.names) and len(self.tail) == tail_length
        if not sound or (named and self.names[-1] != 0):
            raise ValueError("a damaged note")

    def paths(self) -> list[str]:
        """The paths that were there."""
        if self._paths is None:
            self._paths = os.fsdecode(bytes(self.names)).split("\0")[:-1]
        return self._paths

    def path(self, at: int) -> str:
        """One of them."""
        if self._paths is not None:
            return self._paths[at]
        end = sum(self.lengths[: at + 1])
        return os.fsdecode(bytes(self.names[end - self.lengths[at] : end - 1]))

    def stamps(self) -> Iterator[tuple[int, ...]]:
        """Their stamps, as the columns have them."""
        return zip(*self.columns, strict=True)

    def moved(self, workspace: str, at: int) -> bool:
        """Whether the present path of that position does not look as noted."""
        try:
            now = os.stat(os.path.join(workspace, self.path(at)))
        except OSError:
            return True
        return _row((now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino)) != tuple(
            column[at] for column in self.columns
        )

    def stamp(self, at: int) -> Seen:
        """What one of them looked like."""
        inode, size, modified, modified_ns, changed, changed_ns = (column[at] for column in self.columns)
        return modified * _SECOND + modified_ns, changed * _SECOND + changed_ns, size, inode

    def renew(self, at: int, stamp: Seen) -> None:
        """Have one of them look like this, in this note in memory: another stamp of the same content."""
        for column, number in zip(self.columns, _row(stamp), strict=True):
            column[at] = number

    def lookers(self) -> list[Looker]:
        """For whom each path was looked at: the present ones in order, then the absent ones."""
        if self._lookers is None:
            lookers, numbers, *_ = self._load_tail()
            self._lookers = [lookers[number] for number in numbers]
        return self._lookers

    def looker(self, at: int) -> Looker:
        """One of them."""
        lookers, numbers, *_ = self._load_tail()
        return lookers[numbers[at]]

    def declaring(self) -> dict[str, tuple[str, ...]]:
        """Of the folders in which only declarations matter: the names of what can hold one, sorted."""
        return self._load_tail()[2]

    def kept(self) -> str:
        """What the file beside it has to be called inside, that keeps the declarations which it was made by; or nothing."""
        return self._load_tail()[3]

    def _load_tail(self) -> tuple[list[Looker], memoryview, dict[str, tuple[str, ...]], str]:
        if self._loaded_tail is None:
            if _checksum(bytes(self.tail)) != self._tail_checksum:
                raise ValueError("a damaged note")
            lookers, numbers, declaring, kept = marshal.loads(self.tail)
            self._loaded_tail = lookers, memoryview(numbers).cast("i"), declaring, kept
        return self._loaded_tail


class Looked:
    """A note, and which paths have moved since: positions among the present ones, and absent ones that are there now."""

    def __init__(self, workspace: str, note: Note, moved: list[int], came: list[str]) -> None:
        self.workspace = workspace
        self.note = note
        self.moved = moved
        self.came = came

    @property
    def unchanged(self) -> bool:
        """Whether the selection is still up to date."""
        return not self.moved and not self.came

    def folders(self) -> list[str]:
        """What has moved of the folders in which only declarations matter."""
        declaring = self.note.declaring()
        return [path for path in map(self.note.path, self.moved) if path in declaring]

    def models(self, declares: Callable[[str], Collection[str]]) -> set[str] | None:
        """The models that what has moved matters to; None when it may matter to all.

        ``declares`` tells which names in a folder can hold a declaration.
        """
        try:
            declaring = self.note.declaring()
        except ValueError:
            return None
        if any(path in declaring for path in self.came):
            return None
        if any(tuple(sorted(declares(path))) != declaring[path] for path in self.folders()):
            return None
        absent = [self.note.count + self.note.absent.index(path) for path in self.came]
        models: set[str] = set()
        for at in (*self.moved, *absent):
            looker = self.note.looker(at)
            models.update((looker,) if isinstance(looker, str) else looker)
        return None if "" in models else models


def look(workspace: str, selection: str) -> Looked | None:
    """The note of a selection compared with the disk; None when there is none to go by.

    ``selection`` is any text that stands for the labels asked for and the options that matter.
    """
    try:
        note = read(workspace, selection)
        if note is None or any(os.environ.get(name) != value for name, value in note.environment.items()):
            return None
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(workspace)  # so that the kernel has less to walk for every path
            return Looked(
                workspace, note, _moved(note, workspace), [path for path in note.absent if os.path.lexists(path)]
            )
        finally:
            os.fchdir(here)
            os.close(here)
    except (OSError, ValueError, TypeError, EOFError):
        return None


def stands(workspace: str, note: Note) -> bool:
    """Whether a note that was read a moment ago still is the one of its selection."""
    try:
        status = os.stat(note_path(workspace, note.selection))
    except OSError:
        return False
    return (status.st_ino, status.st_ctime_ns) == note.identity


def read(workspace: str, selection: str) -> Note | None:
    """The note of a selection; None when there is none. What else is wrong with it is a ValueError or an OSError."""
    try:
        number = os.open(note_path(workspace, selection), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(number)
        content = bytearray(status.st_size)
        os.readv(number, [content])
    finally:
        os.close(number)
    note = Note(content, (status.st_ino, status.st_ctime_ns))
    return note if note.selection == selection else None


def note_path(workspace: str, selection: str) -> str:
    """The file that holds the note of a selection."""
    return f"{workspace}/.megbuild/fresh/{_checksum(selection.encode('utf-8', 'surrogateescape')):016x}"


def kept_path(note: str) -> str:
    """The file beside a note that keeps the declarations which it was made by."""
    return f"{note}.declared"


def encode(
    selection: str,
    summary: str,
    outputs: int,
    environment: Mapping[str, str | None],
    seen: Mapping[str, Seen | None],
    lookers: Mapping[str, Looker],
    declaring: Mapping[str, Collection[str]],
    kept: str = "",
) -> Sequence[bytes | bytearray | array[int]]:
    """The note of a selection, in pieces, because it may be large. Paths are absolute or below the workspace; no stamp means that nothing is there.

    ``lookers`` tells for which models a path was looked at, ``declaring`` the names in those folders of which only
    these matter; a path that stands in neither matters to all. ``kept`` is :meth:`Note.kept`.
    """
    from array import array
    from itertools import chain, islice

    paths: list[str] = []
    absent: list[str] = []
    names, spans, columns = bytearray(), array("H"), [array("q") for _ in range(6)]
    entries = iter(seen.items())
    while some := list(islice(entries, _PIECE)):  # not all rows at a time: they take ten times as much as the columns
        absent += [path for path, stamp in some if not stamp]
        rows = [_row(stamp) for _, stamp in some if stamp]
        for column, values in zip(columns, zip(*rows, strict=True), strict=bool(rows)):
            column.extend(values)
        for path in (path for path, stamp in some if stamp):
            name = os.fsencode(path) + b"\0"
            paths.append(path)
            names += name
            spans.append(len(name))
    numbers: dict[Looker, int] = {}
    for_whom = (lookers.get(path, () if path in declaring else "") for path in chain(paths, absent))
    given = [numbers.setdefault(looker, len(numbers)) for looker in for_whom]
    declared = {path: tuple(sorted(names)) for path, names in declaring.items()}
    tail = marshal.dumps((list(numbers), _packed(given, 4), declared, kept), _MARSHAL)
    shapes = (len(paths), len(names), _checksum(tail), len(tail))
    runs = _runs(paths)
    facts = marshal.dumps((selection, summary, outputs, dict(environment), absent, runs, *shapes), _MARSHAL)
    start = _HEAD + _checksum(facts).to_bytes(8, "little") + len(facts).to_bytes(4, "little")
    return start, facts, spans, *columns, names, tail


def _runs(paths: list[str]) -> list[tuple[str, int]]:
    """See :attr:`Note.runs`; the folders are those at most two levels down."""
    from itertools import groupby

    runs: list[tuple[str, int]] = []
    for folder, below in groupby(paths, lambda path: "/".join(path.split("/", 2)[:-1])):
        count = sum(1 for _ in below)
        if count < _MANY:
            folder = ""
        before = runs.pop()[1] if runs and runs[-1][0] == folder else 0
        runs.append((folder, before + count))
    return runs


def _checksum(content: bytes) -> int:
    return int.from_bytes(content, "little") % 0x1FFFFFFFFFFFFFFF  # a prime; no module has to be loaded for it


def _packed(numbers: object, size: int) -> bytes:
    from array import array

    return array({2: "H", 4: "i", 8: "q"}[size], numbers).tobytes()  # type: ignore[call-overload, no-any-return]


def _row(stamp: Seen) -> tuple[int, ...]:
    mtime, ctime, size, inode = stamp
    return (_signed(inode), size, *divmod(mtime, _SECOND), *divmod(ctime, _SECOND))


def _signed(inode: int) -> int:
    return inode - (1 << 64) if inode >= 1 << 63 else inode


def _moved(note: Note, workspace: str) -> list[int]:
    """The positions of the present paths that do not look as noted. The workspace is the current folder."""
    if note.count > _FEW:
        from megbuild.store.moved import moved

        if (found := moved(note, workspace)) is not None:
            return found
    return _moved_by_python(note)


def _moved_by_python(note: Note) -> list[int]:
    moved = []
    stat = os.stat
    for number, (path, seen) in enumerate(zip(note.paths(), note.stamps(), strict=True)):
        try:
            now = stat(path)
        except OSError:
            moved.append(number)
            continue
        inode, size, modified, modified_ns, changed, changed_ns = seen
        if (
            now.st_mtime_ns != modified * _SECOND + modified_ns
            or now.st_ctime_ns != changed * _SECOND + changed_ns
            or now.st_size != size
            or _signed(now.st_ino) != inode
        ):
            moved.append(number)
    return moved
