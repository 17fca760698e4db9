"""NumPy's .npy: the header, and the digest of the values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator


def lines(content: bytes) -> Iterator[str]:
    """The header as written, and the values by digest."""
    if content[:6] != b"\x93NUMPY":
        raise ValueError("not .npy")
    wide = 4 if content[6] > 1 else 2
    end = 8 + wide + int.from_bytes(content[8 : 8 + wide], "little")
    yield content[8 + wide : end].decode("latin-1").strip()
    yield f"values {hashlib.sha256(content[end:]).hexdigest()[:16]}"
