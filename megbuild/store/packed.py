"""A mapping whose values are kept as short byte strings: a hundred thousand stamps as objects are tens of megabytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, MutableMapping
from typing import TypeVar

from megbuild.store.digests import Digest, Stamp

Value = TypeVar("Value")
_STAMP = struct.Struct("=qqqQ")
_SIZE = struct.Struct("=q")


class Packed(MutableMapping[str, "Value | None"]):
    """Values by path; None is kept as it is."""

    def __init__(self, pack: Callable[[Value], bytes], unpack: Callable[[bytes], Value]) -> None:
        self._pack, self._unpack = pack, unpack
        self._packed: dict[str, bytes | None] = {}

    def __getitem__(self, path: str) -> Value | None:
        packed = self._packed[path]
        return None if packed is None else self._unpack(packed)

    def __setitem__(self, path: str, value: Value | None) -> None:
        self._packed[path] = None if value is None else self._pack(value)

    def __delitem__(self, path: str) -> None:
        del self._packed[path]

    def __contains__(self, path: object) -> bool:
        return path in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def stamps() -> Packed[Stamp]:
    """An empty mapping to stamps."""
    return Packed(lambda stamp: _STAMP.pack(*stamp), lambda packed: Stamp(*_STAMP.unpack(packed)))


def digests() -> Packed[Digest]:
    """An empty mapping to digests."""
    return Packed(
        lambda digest: bytes.fromhex(digest.sha256) + _SIZE.pack(digest.size),
        lambda packed: Digest(packed[:32].hex(), *_SIZE.unpack(packed[32:])),
    )
