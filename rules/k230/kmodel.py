"""What a .kmodel of nncase 2 consists of: modules, one for each processor of the chip that computes a part of it."""

from __future__ import annotations

import struct

HEAD, MODULE = 32, 40
CPU = "stackvm"
"""The kind of the module that the chip's CPU interprets."""


class Malformed(Exception):
    """Not a .kmodel; the message says where."""


def kinds(content: bytes) -> list[str]:
    """The kinds of its modules in their order.

    :raises Malformed: when the modules do not fill the file.
    """
    if content[:4] != b"LDMK" or len(content) < HEAD:
        raise Malformed("it does not begin as one")
    (count,) = struct.unpack_from("<I", content, 16)
    found, position = [], HEAD
    for number in range(count):
        if position + MODULE > len(content):
            raise Malformed(f"its module {number} lies behind its end")
        kind = content[position : position + 16].rstrip(b"\0").decode("ascii", "replace")
        (size,) = struct.unpack_from("<Q", content, position + 32)
        found.append(kind)
        position += max(size, MODULE)
    if position != len(content):
        raise Malformed(f"its modules end at {position}, and it has {len(content)} bytes")
    return found
