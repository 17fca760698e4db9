"""The bits without a meaning in a .kmodel of K210, on files made here."""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "k210_canonical", Path(__file__).resolve().parents[3] / "rules" / "k210" / "canonical.py"
)
assert _spec and _spec.loader
canonical = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(canonical)

WEIGHTS, NORM = 16, 8


def _section(name: bytes, begin: int, size: int) -> bytes:
    return name.ljust(16, b"\0") + struct.pack("<4I", 0, begin, size, 0)


def _file(nibble: int, table_size: int = canonical.TABLE) -> bytes:
    """One KPU module with one convolution, whose registers have ``nibble`` in their highest bits."""
    registers = struct.pack("<16Q", *((nibble << 60) | 0x0812_3456_789A_BCDE for _ in range(16)))
    data = b"\xff" * (WEIGHTS + NORM) + registers + b"\xee" * 16
    ranges = (canonical.BYTES, 0, WEIGHTS, canonical.REGISTERS, WEIGHTS, NORM)
    code = struct.pack("<10I", 2, *ranges, canonical.BYTES, WEIGHTS + NORM, table_size)
    body = _section(b".rdata", 0, len(data)) + data + _section(b".text", 0, len(code)) + code
    head = b"k210".ljust(16, b"\0") + struct.pack("<8I", 1, 48, 48 + len(body), 0, 0, 2, 1, 0)
    return b"LDMK" + struct.pack("<7I", 5, 32, 0, 256, 1, 0, 0) + head + body


@pytest.mark.parametrize("nibble", [0x0, 0x3, 0xB, 0xF])
def test_only_the_bits_without_a_meaning_go(nibble: int) -> None:
    assert canonical.canonicalise(_file(nibble)) == _file(0)


def test_it_is_done_once() -> None:
    once = canonical.canonicalise(_file(0x9))
    assert canonical.canonicalise(once) == once
    assert [kind for kind, _, _ in canonical.modules(once)] == ["k210"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not begin"),
        (b"RKNN" + bytes(60), "does not begin"),
        (_file(1)[:100], "modules end at"),
        (_file(1) + b"\0", "modules end at"),
        (_file(1, table_size=128), "outside of the constants"),
        (_file(1).replace(b".rdata", b".other"), "no .rdata"),
        (_file(1).replace(struct.pack("<2I", 2, canonical.BYTES), bytes(8)), "no convolution"),
    ],
)
def test_other_files_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(canonical.Malformed, match=said):
        canonical.canonicalise(content)
