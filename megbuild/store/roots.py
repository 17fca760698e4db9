"""Which workspaces and bundles use a cache: a file each, so that what they need is not removed from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from megbuild.store.digests import digest_bytes
from megbuild.store.durable import place


def register(cache: Path, root: Path) -> None:
    """Say that the workspace at ``root`` uses a cache."""
    _note(cache / "workspaces", _Note(str(root.resolve())))


def register_bundle(cache: Path, bundle: Path, keys: Mapping[str, str]) -> None:
    """Say that the bundle in a file was made of the results of these keys (by label)."""
    _note(cache / "bundles", _Note(str(bundle.resolve()), dict(sorted(keys.items()))))


def workspaces(cache: Path) -> Iterator[Path]:
    """The workspaces that used a cache and are there still."""
    yield from (told.at for told in _notes(cache / "workspaces"))


def bundles(cache: Path) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """The bundles that are there still, and the keys that they were made of."""
    yield from ((told.at, told.keys) for told in _notes(cache / "bundles"))


class _Note(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    keys: dict[str, str] = {}

    @property
    def at(self) -> Path:
        return Path(self.path)


def _note(folder: Path, note: _Note) -> None:
    content = msgspec.json.encode(note)
    path = folder / digest_bytes(content).sha256[:32]
    if not path.exists():
        place(path, content)


def _notes(folder: Path) -> Iterator[_Note]:
    try:
        names = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for name in names:
        with suppress(OSError, ValueError):
            note = msgspec.json.decode(name.read_bytes(), type=_Note)
            if note.at.exists():
                yield note
