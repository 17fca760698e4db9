"""A .kmodel of nncase 1 without the bits that nncase never set.

::

    head       8 words of 4 bytes: "LDMK", version, ..., the number of modules at 20
    module     kind (16 bytes), version, size of this head, size of the module, ...; then sections, .rdata and .text
    section    name (16 bytes), flags, start and size of its body, start counted from the end of this head; 32 bytes in all

The KPU's module has a record for each convolution in .text. Its first word is 2, then come three ranges of .rdata (place and
type, start, size): weights, batch normalisation, activation. An activation is a table of 16 registers of 64 bits, in which 60
bits have a meaning, and 16 bytes of offsets. nncase sets the 60 bits of a table that lies in memory that it did not clear, so the
highest four hold whatever was there. The KPU and the simulator do not read them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEAD, MODULE, SECTION = 32, 48, 32
KPU = "k210"
CONVOLUTION = 2
BYTES, REGISTERS = 0x0402, 0x0702
"""Place (.rdata) and type (uint8, uint64) of a range."""
SEGMENTS, TABLE = 16, 16 * 8 + 16


class Malformed(Exception):
    """Not a .kmodel as this module knows it; the message says where."""


def canonicalise(content: bytes) -> bytes:
    """The same file with zeros in the bits without a meaning.

    :raises Malformed: when the file is laid out in another way.
    """
    made = bytearray(content)
    for kind, start, end in modules(content):
        for table in _tables(content, start, end) if kind == KPU else ():
            for register in range(table, table + SEGMENTS * 8, 8):
                made[register + 7] &= 0x0F
    return bytes(made)


def modules(content: bytes) -> Iterator[tuple[str, int, int]]:
    """For each module its kind, and where it begins and ends.

    :raises Malformed: when the modules do not fill the file.
    """
    if content[:4] != b"LDMK" or len(content) < HEAD:
        raise Malformed("it does not begin as one")
    (count,) = struct.unpack_from("<I", content, 20)
    position = HEAD
    for number in range(count):
        if position + MODULE > len(content):
            raise Malformed(f"its module {number} lies behind its end")
        kind = content[position : position + 16].rstrip(b"\0").decode("ascii", "replace")
        (size,) = struct.unpack_from("<I", content, position + 24)
        if position + size > len(content):
            raise Malformed(f"its modules end at {position + size}, and it has {len(content)} bytes")
        yield kind, position, position + max(size, MODULE)
        position += max(size, MODULE)
    if position != len(content):
        raise Malformed(f"its modules end at {position}, and it has {len(content)} bytes")


def _tables(content: bytes, start: int, end: int) -> Iterator[int]:
    """Where the activation tables of the KPU's module begin."""
    data, size = _section(content, b".rdata", start, end)
    code, length = _section(content, b".text", start, end)
    found = 0
    for position in range(code, code + length - 39, 4):
        words = struct.unpack_from("<10I", content, position)
        if words[0] != CONVOLUTION or words[1] != BYTES or words[4] != REGISTERS or words[7] != BYTES:
            continue
        if words[9] != TABLE or words[8] + TABLE > size or words[2] + words[3] > size or words[5] + words[6] > size:
            raise Malformed(f"the convolution at {position} reads outside of the constants")
        found += 1
        yield data + words[8]
    if not found:
        raise Malformed("its KPU module has no convolution")


def _section(content: bytes, name: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the body of a section lies in the file, and its size."""
    head = content.find(name.ljust(16, b"\0"), start, end)
    if head < 0 or head + SECTION > end:
        raise Malformed(f"its KPU module has no {name.decode()}")
    begin, size = struct.unpack_from("<II", content, head + 20)
    body = head + SECTION + begin
    if body + size > end:
        raise Malformed(f"{name.decode()} of its KPU module lies behind the module's end")
    return body, size
