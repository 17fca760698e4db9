"""Landlock: a process gives up access to files, to TCP and to processes outside, for itself and its children."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from . import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL


def version() -> int:
    """What the kernel can do; 0 without Landlock."""
    try:
        return kernel.system_call(_CREATE_RULESET, 0, 0, 1, what="landlock")
    except OSError:
        return 0


def restrict(readable: Sequence[str], writable: Sequence[str], devices: Sequence[str], abi: int) -> None:
    """From here on only these trees: to read and execute, to change, and (devices) to read and write in place.

    No TCP, no abstract sockets and no signals to processes outside, where the kernel's version knows how.

    :raises OSError: when a path is missing or the kernel refuses. The caller must not go on then.
    """
    known = (1 << 13) - 1
    known |= (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL if abi >= 5 else 0)
    asked = struct.pack("QQQ", known, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    asked = asked[: 8 if abi < 4 else 16 if abi < 6 else 24]
    rules = kernel.system_call(_CREATE_RULESET, asked, len(asked), 0, what="landlock_create_ruleset")
    try:
        for paths, rights in (
            (readable, _EXECUTE | _READ_FILE | _READ_DIR),
            (writable, known),
            (devices, _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL),
        ):
            for path in paths:
                _allow(rules, path, rights & known)
        kernel.no_new_privileges()
        kernel.system_call(_RESTRICT_SELF, rules, 0, what="landlock_restrict_self")
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            rights &= _FOR_FILES
        kernel.system_call(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0, what=f"landlock rule {path}")
    finally:
        os.close(place)
