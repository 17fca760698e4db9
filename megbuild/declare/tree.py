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

Kind = Literal["file", "folder", "missing", "outside"]


class Listing(Struct, frozen=True):
    """The names in a folder; links stand apart, because they may lead anywhere."""

    files: AbstractSet[str] = frozenset()
    folders: AbstractSet[str] = frozenset()
    links: AbstractSet[str] = frozenset()


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
        """What ``path`` is; ``outside`` when a link in it leads out of the workspace."""
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
        return "outside" if folder and self.kind(folder) == "outside" else "missing"

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The files that match, sorted. ``*``, ``?`` and ``[...]`` stay in one folder, ``**`` is any depth of folders.

        Hidden names match only a pattern that starts with a dot; ``**`` does not follow links.
        """
        parts = pattern.split("/")
        plain = next((number for number, part in enumerate(parts) if is_glob(part)), len(parts) - 1)
        found = self._glob("/".join(parts[:plain]), parts[plain:])
        return tuple(sorted({path for path in found if self.kind(path) == "file"}))

    def folders_below(self, folder: str) -> Iterator[str]:
        """``folder`` and all folders in it that are neither hidden nor links, parents first."""
        self.searched.add(folder)
        yield folder
        for name in sorted(self.listing(folder).folders):
            if not name.startswith("."):
                yield from self.folders_below(f"{folder}/{name}" if folder else name)

    def _glob(self, folder: str, parts: list[str]) -> Iterator[str]:
        head, rest = parts[0], parts[1:]
        start = folder + "/" if folder else ""
        if head == "**":
            for below in self.folders_below(folder):
                if rest:
                    yield from self._glob(below, rest)
                else:
                    yield from self._glob(below, ["*"])
        elif not is_glob(head):
            path = start + head
            if not rest:
                yield path
            elif self.kind(path) == "folder":
                yield from self._glob(path, rest)
        else:
            listing = self.listing(folder)
            self.searched.add(folder)
            names = listing.folders | listing.links if rest else listing.files | listing.links
            matches = _matcher(head)
            for name in names:
                if matches.match(name) and (head[0] == "." or name[0] != "."):
                    path = start + name
                    if not rest:
                        yield path
                    elif self.kind(path) == "folder":
                        yield from self._glob(path, rest)

    def _linked(self, path: str) -> Kind:
        try:
            target = Path(self.absolute(path)).resolve(strict=True)
            if not target.is_relative_to(self.root):
                return "outside"
            return "folder" if target.is_dir() else "file"
        except (OSError, RuntimeError):  # it leads nowhere, in a circle, or where we may not look
            return "missing"


def _list(folder: str) -> Listing:
    files: set[str] = set()
    folders: set[str] = set()
    links: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.add(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                else:
                    files.add(entry.name)
    except OSError:
        return NOTHING
    return Listing(files, folders, links)


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
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        return "", 'leaves its folder through ".."'
    return "/".join([package, *parts] if package else parts), ""
