"""The folders of a workspace, listed once each: which files exist, what globs match, and whether a link leaves.

Paths are workspace-relative with forward slashes; the root is the empty string. Every folder is listed at most once
per load, so a check of existence costs a look into a set.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

Kind = Literal["file", "folder", "missing", "outside", "special"]
LONGEST_PATH = 1000
"""Characters of a path in a declaration; the kernel takes 4096 bytes, below the workspace's own."""
DEEPEST = 100
"""Folders one below the other in such a path."""
LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""
MOST_FOLDERS = 100_000
"""Folders that one glob looks into: beyond them it hangs, as one does that finds two links to their own folder."""


class Listing(Struct, frozen=True):
    """The names in a folder; links stand apart, because they may lead anywhere."""

    files: AbstractSet[str] = frozenset()
    folders: AbstractSet[str] = frozenset()
    links: AbstractSet[str] = frozenset()
    special: AbstractSet[str] = frozenset()
    """Pipes, sockets and devices: whoever reads one may wait for ever."""


class TooWide(Exception):
    """A glob that leads through too many folders."""


NOTHING = Listing()
is_glob = re.compile(r"[*?\[]").search


@dataclass
class Tree:
    """What is on the disk below ``root``, an absolute path without links."""

    root: str
    listings: dict[str, Listing] = field(default_factory=dict)
    searched: set[str] = field(default_factory=set)
    """The folders whose names decided what globs match; whoever wants to know clears it before."""

    def absolute(self, path: str) -> str:
        """The path on this machine."""
        return f"{self.root}/{path}" if path else self.root

    def listing(self, folder: str) -> Listing:
        """The names in ``folder``; nothing when it is no folder, cannot be read, or lies outside."""
        found = self.listings.get(folder)
        if found is None:
            if folder and self.kind(folder) != "folder":
                return NOTHING
            found = self.listings[folder] = _list(self.absolute(folder))
        return found

    def kind(self, path: str) -> Kind:
        """What ``path`` is; ``outside`` when a link in it leads out of the workspace, ``special`` for a pipe or a device."""
        if not path:
            return "folder"
        folder, _, name = path.rpartition("/")
        listing = self.listing(folder)
        if name in listing.files:
            return "file"
        if name in listing.folders:
            return "folder"
        if name in listing.links:
            return self._linked(path)
        if name in listing.special:
            return "special"
        return "outside" if folder and self.kind(folder) == "outside" else "missing"

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The files that match, sorted. ``*``, ``?`` and ``[...]`` stay in one folder, ``**`` is any depth of folders.

        Hidden names match only a pattern that starts with a dot; ``**`` does not follow links.

        :raises TooWide: when it would look into more than ``MOST_FOLDERS``.
        """
        parts = pattern.split("/")
        plain = next((number for number, part in enumerate(parts) if is_glob(part)), len(parts) - 1)
        found = self._glob("/".join(parts[:plain]), parts[plain:])
        return tuple(sorted({path for path in found if self.kind(path) == "file"}))

    def _glob(self, folder: str, parts: list[str]) -> Iterator[str]:
        """What ``parts`` match below ``folder``. A folder is gone through once for each part, however many ways lead there."""
        pending, seen = [(folder, 0)], {(folder, 0)}
        while pending:
            folder, at = pending.pop()
            further = []
            for path, reached in self._step(folder, parts, at):
                if reached == len(parts):
                    yield path
                elif self.kind(path) == "folder":
                    further.append((path, reached))
            pending += [place for place in further if place not in seen]
            seen.update(further)
            if len(seen) > MOST_FOLDERS:
                raise TooWide

    def _step(self, folder: str, parts: list[str], at: int) -> Iterator[tuple[str, int]]:
        """What one part matches in a folder, each with the number of the part that goes on from there."""
        head, start = parts[at], folder + "/" if folder else ""
        last = at + 1 == len(parts)
        if head == "**":
            self.searched.add(folder)
            yield from ((start + name, at) for name in self.listing(folder).folders if name[0] != ".")
            if last:
                yield from ((path, at + 1) for path, _ in self._step(folder, ["*"], 0))
            else:
                yield folder, at + 1
        elif not is_glob(head):
            yield start + head, at + 1
        else:
            listing = self.listing(folder)
            self.searched.add(folder)
            names = listing.files | listing.links if last else listing.folders | listing.links
            matches = _matcher(head)
            fitting = (name for name in names if matches.match(name) and (head[0] == "." or name[0] != "."))
            yield from ((start + name, at + 1) for name in fitting)

    def _linked(self, path: str) -> Kind:
        try:
            target = Path(self.absolute(path)).resolve(strict=True)
            if not target.is_relative_to(self.root):
                return "outside"
            return "folder" if target.is_dir() else "file" if target.is_file() else "special"
        except (OSError, RuntimeError):  # it leads nowhere, in a circle, or where we may not look
            return "missing"


def _list(folder: str) -> Listing:
    files: set[str] = set()
    folders: set[str] = set()
    links: set[str] = set()
    special: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.add(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.add(entry.name)
                else:
                    special.add(entry.name)
    except OSError:
        return NOTHING
    return Listing(files, folders, links, special)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def workspace_path(text: str, package: str) -> tuple[str, str]:
    """The workspace-relative path that ``text`` means in ``package``, and why it cannot be one (or nothing).

    A path is relative to the folder of its MODELS.toml, or with ``//`` to the root of the workspace.
    """
    if text.startswith("//"):
        package, text = "", text[2:]
    if not text or text == ".":
        return "", "is empty"
    if "\\" in text:
        return "", "has a backslash"
    if text[0] in "/~" or re.match(r"[A-Za-z]:", text):
        return "", "is a path of one machine"
    if not text.isprintable():
        return "", "has a character that cannot be printed"
    if len(text) > LONGEST_PATH:
        return "", f"is longer than {LONGEST_PATH} characters"
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        return "", 'leaves its folder through ".."'
    if len(parts) > DEEPEST or any(len(part.encode()) > LONGEST_NAME for part in parts):
        return "", f"is nested deeper than {DEEPEST} folders, or has a name of more than {LONGEST_NAME} bytes"
    return "/".join([package, *parts] if package else parts), ""
