"""The key of an action: the digest of the Remote Execution API's Action message for it.

It covers the command, its environment and outputs, the tree of inputs by content, and the platform, and nothing
else: not the action's id, not the time, no path of this machine. Two actions with one key have one result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from msgspec import Struct

from megbuild.graph.actions import Action
from megbuild.graph.messages import action_message, command, directory
from megbuild.store.digests import Digest, digest_bytes


class Request(Struct, frozen=True):
    """An action as a remote server takes it: the digest of its Action message, and every message by its digest."""

    action: Digest
    messages: Mapping[Digest, bytes]

    @property
    def key(self) -> str:
        """The key: the Action's SHA-256 in hex."""
        return self.action.sha256


_File = tuple[str, Digest, bool]
"""Name, content, whether it is executable."""


@dataclass
class _Folder:
    files: list[_File] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)


def action_key(
    action: Action, inputs: Mapping[str, Digest], platform: Mapping[str, str], executable: Collection[str] = ()
) -> str:
    """The key of an action; the arguments are those of :func:`action_request`."""
    return action_request(action, inputs, platform, executable).key


def action_request(
    action: Action, inputs: Mapping[str, Digest], platform: Mapping[str, str], executable: Collection[str] = ()
) -> Request:
    """The messages of an action.

    ``inputs`` are all files of the staged folder by their paths there, the products of other actions included;
    ``platform`` describes what the action runs on, such as the digest of its toolchain; ``executable`` names the
    inputs that are to be executable. The messages do not include the inputs' own contents.
    """
    messages: dict[Digest, bytes] = {}

    def keep(digest: Digest, message: bytes) -> Digest:
        messages[digest] = message
        return digest

    def merkle(folder: _Folder) -> Digest:
        below = tuple((name, merkle(inner)) for name, inner in folder.folders.items())
        return keep(*_directory(tuple(folder.files), below))

    root = merkle(_tree(inputs, frozenset(executable)))
    asked = keep(*_named(command(action.arguments, action.environment, action.outputs, platform)))
    return Request(keep(*_named(action_message(asked, root, platform))), messages)


def _named(message: bytes) -> tuple[Digest, bytes]:
    return digest_bytes(message), message


@lru_cache(maxsize=1024)
def _directory(files: tuple[_File, ...], folders: tuple[tuple[str, Digest], ...]) -> tuple[Digest, bytes]:
    """A Directory message; most actions stage the same folders of code."""
    return _named(directory(files, folders))


@lru_cache(maxsize=4096)
def _parts(path: str) -> tuple[tuple[str, ...], str]:
    """The folders of a staged path, and its name; a ValueError when it is not a plain relative path."""
    *above, name = path.split("/")
    if any(part in ("", ".", "..") for part in (*above, name)):
        raise ValueError(f"{path!r} is no path inside a staged folder")
    return tuple(above), name


def _tree(inputs: Mapping[str, Digest], executable: frozenset[str]) -> _Folder:
    """The inputs as nested folders; a ValueError when a path is not a plain relative one, or is a file and a folder."""
    root = _Folder()
    for path, digest in inputs.items():
        above, name = _parts(path)
        folder = root
        for part in above:
            if part not in folder.folders:
                folder.folders[part] = _Folder()
            folder = folder.folders[part]
        folder.files.append((name, digest, path in executable))
    _refuse_clashes(root)
    return root


def _refuse_clashes(folder: _Folder) -> None:
    for name, _, _ in folder.files:
        if name in folder.folders:
            raise ValueError(f"{name!r} is staged both as a file and as a folder")
    for below in folder.folders.values():
        _refuse_clashes(below)
