"""Keys that a model is encrypted with: named in MODELS.toml, never written there, and nowhere kept.

A reference is a file, or ``env:VARIABLE``. What megbuild keeps of the key is its commitment: it changes with the key,
and tells no more of it than a file does that was encrypted with it (docs/adr/0024).
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from itertools import pairwise
from pathlib import Path

from megbuild.errors import Where, fail

VARIABLE = "env:"
"""How a reference to a variable begins."""
PUBLIC = bytes(range(32))
"""The key that is built into Lite for AES: whoever has Lite has it."""
_LONGEST = 4096
"""Bytes of a file with a key."""
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_SAID = b"megbuild commitment to a key, 1"
_UNLIKE = 16
"""Different bytes that a random key of 32 has at least: fewer come up once in 10^12 keys."""
_HINT = "make one: (umask 077; openssl rand -hex 32 > FILE)"


def commitment(key: bytes) -> str:
    """What stands for a key wherever one is noted: a code of a fixed text under the key."""
    return "key " + hmac.new(key, _SAID, "sha256").hexdigest()


def key_of(reference: str, root: Path, where: Where | None = None) -> bytes:
    """The 32 bytes that a reference leads to; a path is relative to the workspace's ``root``.

    :raises MegbuildError: MB129 when nothing is there, MB130 when it is no key, MB131 when others know it.
    """
    text, what = _text(reference, root, where)
    if not _HEX.fullmatch(text):
        raise fail("MB130", f"{what} holds no key of 256 bits, 64 hexadecimal digits", _HINT, where)
    key = bytes.fromhex(text)
    if key == PUBLIC:
        message = f"{what} holds the key that is built into Lite: everybody has it"
        raise fail("MB131", message, _HINT, where)
    if len(set(key)) < _UNLIKE or len({(b - a) % 256 for a, b in pairwise(key)}) < _UNLIKE:
        raise fail("MB131", f"{what} holds a key that follows a pattern: it can be guessed", _HINT, where)
    return key


def _text(reference: str, root: Path, where: Where | None) -> tuple[str, str]:
    """The text that a reference leads to, and how the reference is called in a message."""
    if reference.startswith(VARIABLE):
        name = reference.removeprefix(VARIABLE)
        if not os.environ.get(name):
            raise fail("MB129", f"the variable {name}, which should hold a key, is not set", _HINT, where)
        return os.environ[name].strip(), f"the variable {name}"
    path = root / Path(reference).expanduser()
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST:
            raise fail(
                "MB130", f"{reference} is no plain file with a key of 256 bits, 64 hexadecimal digits", _HINT, where
            )
        if status.st_mode & 0o077:
            raise fail("MB131", f"{reference} can be read by others than its owner", f"chmod 600 {reference}", where)
        return path.read_text("ascii").strip(), reference
    except OSError as error:
        message = f"the key {reference} cannot be read: {error.strerror}"
        raise fail("MB129", message, "give a file, or env:VARIABLE", where) from None
    except UnicodeDecodeError:
        return "", reference
