"""``doit watch``: build, then build again whenever a save makes something stale.

What a build has looked at stands in its note, so a save is compared with the few stamps that it can concern. Folders
of sources and rules are watched, not ``out/``: an artifact edited by hand is noticed by the next build.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from megbuild.cli.build import JOBS, KEEP_GOING, MEMORY, REQUIRE_SANDBOX
from megbuild.cli.command import Command
from megbuild.errors import MegbuildError, fail
from megbuild.store import noop
from megbuild.store.digests import digest_file, quiet_at, stamp
from megbuild.store.files import Files, Known
from megbuild.store.state import State

_WAKES_MS = 1000
"""How often the watcher gives back control when nothing happens."""
_LONGEST_WAIT = 100_000_000
"""Nanoseconds that a save may be too young for its content to be compared; then it is left to the build."""


class Watch(Command):
    """The command plug-in."""

    name = "watch"
    doc_purpose = "build what a save makes stale, until it is interrupted"
    doc_usage = "[LABEL ...]"
    doc_description = "LABEL: as for doit build."
    cmd_options = (JOBS, MEMORY, KEEP_GOING, REQUIRE_SANDBOX)

    def execute(self, params: dict[str, Any], labels: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _watch(labels, params))


class Seen:
    """A note in memory, by path: what has moved of the paths that are said to have changed."""

    def __init__(self, root: str, looked: noop.Looked) -> None:
        self.root, self.note = root, looked.note
        # After a build that failed, a file that holds what the note knows is news: it may have been wrong in between.
        self.known: MutableMapping[str, Known] = {}
        if looked.unchanged:
            self.known = State.load(Path(root), lambda text: None).known
        self.places = {self._absolute(path): at for at, path in enumerate(self.note.paths())}
        self.absent = {self._absolute(path): path for path in self.note.absent}

    def look(self, changed: Iterable[str]) -> noop.Looked:
        """The note compared with the disk where ``changed`` paths, and the folders that they stand in, concern it.

        A file that holds what it held has not moved; from here on the note has its new stamp.
        """
        paths = set(changed)
        paths |= {os.path.dirname(path) for path in paths}
        places = sorted(self.places[path] for path in paths & self.places.keys())
        came = [self.absent[path] for path in paths & self.absent.keys() if os.path.lexists(path)]
        return noop.Looked(self.root, self.note, [at for at in places if self._moved(at)], came)

    def settled(self, looked: noop.Looked | None) -> noop.Looked | None:
        """The same of what was found by looking at everything; as it is when it goes by another note."""
        if looked is None or looked.note.identity != self.note.identity:
            return looked
        return noop.Looked(self.root, self.note, [at for at in looked.moved if self._moved(at)], looked.came)

    def _moved(self, at: int) -> bool:
        return self.note.moved(self.root, at) and not self._same(at)

    def _same(self, at: int) -> bool:
        """Whether a file has been left alone for a moment, and holds what it held when it was built from."""
        path = self.note.path(at)
        known = self.known.get(path)
        now = stamp(os.path.join(self.root, path))
        if not known or not now or known[0] != self.note.stamp(at) or now.size != known[0].size:
            return False
        time.sleep(max(0, min(quiet_at(now) - time.time_ns(), _LONGEST_WAIT)) / 1e9)
        try:
            same = digest_file(os.path.join(self.root, path)).sha256 == known[1]
        except OSError:
            return False
        if not same or stamp(os.path.join(self.root, path)) != now or time.time_ns() < quiet_at(now):
            return False
        self.known[path] = (now, known[1])
        self.note.renew(at, now)
        return True

    def folders(self) -> tuple[str, ...]:
        """Where a save can concern it, but for the artifacts; those of them that exist, sorted."""
        out = f"{self.root}/out"
        found = {os.path.dirname(path) for path in (*self.places, *self.absent)}
        found |= {self._absolute(path) for path in self.note.declaring()}
        return tuple(sorted(path for path in found if not f"{path}/".startswith(f"{out}/") and os.path.isdir(path)))

    def _absolute(self, path: str) -> str:
        return os.path.normpath(f"{self.root}/{path}") if not path.startswith("/") else path


def _watch(labels: list[str], params: Mapping[str, Any]) -> int:
    from megbuild.cli.build import check_limits, collect_less
    from megbuild.cli.fast import look_here
    from megbuild.declare.root import find

    check_limits(params)
    changes = _watcher()
    collect_less()
    root = find(Path.cwd())
    folders: tuple[str, ...] = ()
    looked = look_here(labels)
    built = _stamps(root, looked)
    while True:
        if looked and looked.unchanged:
            print(looked.note.summary, flush=True)
        else:
            built = _stamps(root, looked)
            _build(labels, params, looked)
            looked = look_here(labels)
        try:
            seen = Seen(root, looked) if looked else None
            folders = seen.folders() if seen else folders or _all_folders(root)
            print(f"watching {len(folders)} folders; Ctrl-C ends it", flush=True)
            looked = _next(root, changes(folders), seen, labels, built)
        except KeyboardInterrupt:
            print("watch ended", flush=True)
            return 0


def _stamps(root: str, looked: noop.Looked | None) -> object:
    """What the paths that have moved look like now."""
    if looked is None:
        return None
    paths = looked.note.paths()
    return [(path, stamp(os.path.join(root, path))) for path in (*(paths[at] for at in looked.moved), *looked.came)]


def _build(labels: list[str], params: Mapping[str, Any], looked: noop.Looked | None) -> None:
    """A mistake in a file is told, and its next save is waited for."""
    from megbuild.cli.build import build_once

    try:
        build_once(labels, params, looked)
    except MegbuildError as error:
        print(error, file=sys.stderr, flush=True)


def _next(
    root: str, rounds: Iterator[set[str]], seen: Seen | None, labels: list[str], built: object
) -> noop.Looked | None:
    """Wait until something has moved; what has, or None when that has to be found out by the build.

    ``built`` are the stamps of what had moved when a build began that may have failed: they alone are no news.
    """
    from megbuild.cli.fast import look_here

    declares = Files(Path(root)).declares
    first = True
    for changed in rounds:
        if first:  # what was saved before the watcher stood
            first = False
            found = look_here(labels)
            looked = seen.settled(found) if seen else found
            if found and looked and len(looked.moved) < len(found.moved):
                changed = changed | {found.note.path(at) for at in found.moved}
            if not changed and _stamps(root, looked) == built:
                continue
        elif not changed:
            continue
        else:
            looked = seen.look(changed) if seen else None
        if seen is None and changed:
            return None
        if looked and not looked.unchanged and looked.models(declares) != set():
            return looked
        if looked and (changed or not looked.unchanged):
            print("nothing is stale", flush=True)
    raise KeyboardInterrupt  # the watcher was stopped


def _watcher() -> Any:
    """From folders to the rounds of changed paths in them; an empty round where none came for a while."""
    try:
        from watchfiles import watch
    except ImportError:
        hint = "pip install 'megbuild[watch]'"
        raise fail("MB408", "doit watch needs the package watchfiles, which is not installed", hint) from None

    def changes(folders: tuple[str, ...]) -> Iterator[set[str]]:
        rounds = watch(
            *folders,
            watch_filter=None,
            debounce=100,
            step=20,
            rust_timeout=_WAKES_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        for round_ in rounds:
            yield {path for _, path in round_}

    return changes


def _all_folders(root: str) -> tuple[str, ...]:
    """The folders of a workspace that could not even be loaded."""
    found = []
    for folder, below, _ in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".") and name not in ("out", "__pycache__")]
        found.append(folder)
    return tuple(found)
