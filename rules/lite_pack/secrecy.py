"""How Lite's AES_default encrypts: 16 bytes of initial vector, AES-256-CBC with padding, 8 bytes of length.

The initial vector is a code of the content under the key, not a random one: equal contents give equal files, and that is
all that somebody without the key learns. No two contents have one vector.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

METHOD = "AES_default"
BLOCK = 16


def encrypted(content: bytes, key: bytes) -> bytes:
    """The content as Lite decrypts it with a key of 32 bytes."""
    vector = hmac.new(key, b"initial vector" + content, "sha256").digest()[:BLOCK]
    fill = BLOCK - len(content) % BLOCK
    cipher = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return vector + cipher.update(content + bytes([fill]) * fill) + cipher.finalize() + len(content).to_bytes(8, "big")


def decrypted(content: bytes, key: bytes) -> bytes:
    """The content again, as Lite reads it."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(content[:BLOCK])).decryptor()
    plain = cipher.update(content[BLOCK:-8]) + cipher.finalize()
    return plain[: int.from_bytes(content[-8:], "big")]
