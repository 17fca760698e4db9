"""The Remote Execution API v2 messages that name an action, encoded canonically.

Protocol buffers leave an encoder some freedom. Here fields stand in the order of their numbers and defaults are left
out, which is what protobuf's own libraries write, so every client and server gives these messages the same digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from megbuild.store.digests import Digest


def digest_message(digest: Digest) -> bytes:
    """``Digest{hash, size_bytes}``."""
    return _text(1, digest.sha256) + _number(2, digest.size)


def directory(files: Iterable[tuple[str, Digest, bool]], folders: Iterable[tuple[str, Digest]]) -> bytes:
    """``Directory{files, directories}`` of (name, digest, is executable) and (name, digest of its Directory)."""
    file_nodes = [_text(1, n) + _bytes(2, digest_message(d)) + _number(4, int(x)) for n, d, x in sorted(files)]
    folder_nodes = [_text(1, n) + _bytes(2, digest_message(d)) for n, d in sorted(folders)]
    return _repeated(1, file_nodes) + _repeated(2, folder_nodes)


def command(
    arguments: Iterable[str], environment: Mapping[str, str], outputs: Iterable[str], platform: Mapping[str, str]
) -> bytes:
    """``Command{arguments, environment_variables, platform, output_paths}``."""
    return (
        _repeated(1, [argument.encode() for argument in arguments])
        + _repeated(2, _pairs(environment))
        + (_bytes(5, platform_message(platform)) if platform else b"")
        + _repeated(7, [path.encode() for path in sorted(set(outputs))])
    )


def platform_message(platform: Mapping[str, str]) -> bytes:
    """``Platform{properties}``."""
    return _repeated(1, _pairs(platform))


def action_message(command_digest: Digest, input_root: Digest, platform: Mapping[str, str]) -> bytes:
    """``Action{command_digest, input_root_digest, platform}``."""
    inputs = _bytes(1, digest_message(command_digest)) + _bytes(2, digest_message(input_root))
    return inputs + (_bytes(10, platform_message(platform)) if platform else b"")


def _pairs(mapping: Mapping[str, str]) -> list[bytes]:
    """EnvironmentVariable and Platform.Property alike: ``{name, value}``."""
    return [_text(1, name) + _text(2, value) for name, value in sorted(mapping.items())]


def _text(field: int, value: str) -> bytes:
    """A string; the empty one is the default and left out."""
    return _bytes(field, value.encode()) if value else b""


def _number(field: int, value: int) -> bytes:
    """A number or a boolean; 0 is the default and left out."""
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    """A message or an element of a repeated field: it stands even when it is empty."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _repeated(field: int, values: Iterable[bytes]) -> bytes:
    return b"".join(_bytes(field, value) for value in values)


_VARINTS = [bytes((value,)) for value in range(128)]


def _varint(value: int) -> bytes:
    if value < 128:
        return _VARINTS[value]
    groups = bytearray()
    while value >= 128:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)
