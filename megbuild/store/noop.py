"""The fast path of a build with nothing to do: one read, one ``stat`` a file, no other module of megbuild.

When a selection of labels was found up to date, everything that was looked at to find it is noted in a small file
of its own, ``.megbuild/fresh/<checksum of the selection>``. As long as none of it has moved, the selection is still
up to date. Whatever is wrong with the note, the answer is "not known" and the build takes the long way.
"""

from __future__ import annotations

import marshal
import os
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Seen = tuple[int, int, int, int]
    """A stamp: mtime and ctime in nanoseconds, size, inode."""

_HEAD = b"megbuild fresh 1\n"
_MARSHAL = 4
"""The version of the marshal format that every supported Python reads."""


def unchanged(workspace: str, selection: str) -> str | None:
    """The summary to print if all that the selection depends on is as it was when it was last up to date, else None.

    ``selection`` is any text that stands for the labels asked for and the options that matter.
    """
    try:
        with open(note_path(workspace, selection), "rb") as file:
            noted = _decode(file.read())
        if noted is None or noted[0] != selection:
            return None
        _, summary, environment, paths, stamps = noted
        if any(os.environ.get(name) != value for name, value in environment.items()):
            return None
        return summary if _all_as_seen(workspace, paths, stamps) else None
    except (OSError, ValueError, TypeError, EOFError):
        return None


def note_path(workspace: str, selection: str) -> str:
    """The file that holds the note of a selection."""
    return f"{workspace}/.megbuild/fresh/{crc32(selection.encode('utf-8', 'surrogateescape')):08x}"


def encode(
    selection: str,
    summary: str,
    environment: Mapping[str, str | None],
    paths: Sequence[str],
    stamps: Sequence[Seen | None],
) -> bytes:
    """The note of a selection. ``paths`` are absolute or below the workspace; no stamp means that nothing is there."""
    body = marshal.dumps((selection, summary, dict(environment), list(paths), list(stamps)), _MARSHAL)
    return _HEAD + crc32(body).to_bytes(4, "big") + body


def _decode(note: bytes) -> tuple[str, str, dict[str, str | None], list[str], list[Seen | None]] | None:
    start = len(_HEAD) + 4
    if note[: len(_HEAD)] != _HEAD:
        return None
    body = memoryview(note)[start:]
    if crc32(body) != int.from_bytes(note[len(_HEAD) : start], "big"):  # marshal must not see a damaged file
        return None
    noted: tuple[str, str, dict[str, str | None], list[str], list[Seen | None]] = marshal.loads(body)
    return noted


def _all_as_seen(workspace: str, paths: list[str], stamps: list[Seen | None]) -> bool:
    stat = os.stat
    root = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path, seen in zip(paths, stamps, strict=True):
            try:
                now = stat(path, dir_fd=root)
            except OSError:
                if seen is not None:
                    return False
                continue
            if seen != (now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino):
                return False
    finally:
        os.close(root)
    return True
