"""The canonicaliser on files made here: what it zeroes, what it leaves, what it refuses."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

RULE = Path(__file__).resolve().parents[3] / "rules" / "rknn"


def _load(name: str):
    spec = importlib.util.spec_from_file_location(f"rknn_{name}", RULE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


canonical = _load("canonical")
toolkit = _load("toolkit")

FOOTER = {"norm_tensor": [{"tensor_id": 0, "url": "data"}], "version": "2.5.0"}
ADDRESSES = (0x5612_3456_7000, 0x7F31_0ABC_D000, 0x7FFD_1234_0000)
"""Where heap, libraries and stack of the first process begin; those of the others are ``_moved`` from there."""


def _moved(base: int, process: int) -> int:
    return base + process * 0x3_4567_8000


def _spans(process: int) -> list[tuple[int, int]]:
    return [(_moved(base, process), _moved(base, process) + 0x1000_0000) for base in ADDRESSES]


def _file(payload: bytes, footer: object = FOOTER, reserved: bytes = bytes(40), version: int = 6) -> bytes:
    described = footer if isinstance(footer, bytes) else json.dumps(footer).encode()
    head = b"RKNN\0\0\0\0" + struct.pack("<QQ", version, len(payload)) + reserved
    return head + payload + struct.pack("<Q", len(described)) + described


def _compilation(payload: bytes, process: int = 0, fill: int = 0, **options):
    return canonical.Compilation(_file(payload, **options), fill, _spans(process))


def _words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _payload(content: bytes) -> bytes:
    parsed = canonical.parse(content)
    return parsed.head[canonical.PAYLOAD :]


def test_equal_compilations_are_left_as_they_are():
    made = canonical.canonicalise([_compilation(b"abcdefgh", process) for process in range(3)])
    assert made.content == _file(b"abcdefgh")
    assert (made.address_words, made.never_set_bytes) == (0, 0)


def test_addresses_become_zero_and_their_neighbours_stay():
    def payload(process: int) -> bytes:
        address = _moved(ADDRESSES[1], process) + 0x212
        return _words(7, address & 0xFFFFFFFF, address >> 32, 9)

    made = canonical.canonicalise([_compilation(payload(process), process) for process in range(3)])
    assert _payload(made.content) == _words(7, 0, 0, 9)
    assert made.address_words == 2


def test_a_lone_upper_half_becomes_zero():
    compilations = [_compilation(_words(1, _moved(ADDRESSES[0], p) >> 32, 2), p) for p in range(3)]
    assert _payload(canonical.canonicalise(compilations).content) == _words(1, 0, 2)


def test_a_number_that_looks_like_an_address_stays():
    payload = _words(0x7F31, 0x5612, 0x0ABCD212, 0x7FFD)
    made = canonical.canonicalise([_compilation(payload, process) for process in range(3)])
    assert _payload(made.content) == payload


def test_bytes_that_were_never_set_are_counted_and_stay_zero():
    zero, filled = b"\1\2\0\0\0\0\0\0\3\4\5\6", b"\1\2\x5a\x5a\x5a\x5a\x5a\x5a\3\4\5\6"
    compilations = [_compilation(zero, 0), _compilation(zero, 1), _compilation(filled, 2, fill=0x5A)]
    made = canonical.canonicalise(compilations)
    assert _payload(made.content) == zero
    assert (made.address_words, made.never_set_bytes) == (0, 6)


def test_what_the_system_left_in_reserved_bytes_is_zeroed():
    reserved = [bytes([process + 1]) * 40 for process in range(3)]
    compilations = [_compilation(b"abcd", p, reserved=reserved[p], version=0x1004) for p in range(3)]
    assert canonical.canonicalise(compilations).content == _file(b"abcd", version=0x1004)


def test_a_payload_that_ends_within_a_word_keeps_its_length():
    compilations = [_compilation(b"abcdef", process) for process in range(3)]
    assert canonical.canonicalise(compilations).content == _file(b"abcdef")


def test_the_order_of_compilations_does_not_matter():
    zero, filled = bytes(8), b"\x5a" * 8
    made = [_compilation(zero, 0), _compilation(zero, 1), _compilation(filled, 2, fill=0x5A)]
    assert canonical.canonicalise(made) == canonical.canonicalise(made[::-1])


@pytest.mark.parametrize(
    ("compilations", "said"),
    [
        ([_compilation(bytes(8)), _compilation(bytes(12), 1)], "payloads of"),
        ([_compilation(bytes(8)), _compilation(bytes(8), 1, version=7)], "unlike headers"),
        ([_compilation(bytes(8)), _compilation(bytes(8), 1, footer={"other": 1})], "describe"),
        ([_compilation(_words(5, 6)), _compilation(_words(5, 0x90000000), 1)], "no address"),
        ([_compilation(bytes(40000)), _compilation(b"\1" * 40000, 1)], "words"),
    ],
)
def test_compilations_that_differ_in_substance_are_refused(compilations, said):
    with pytest.raises(canonical.Unlike, match=said):
        canonical.canonicalise(compilations)


def test_a_byte_that_a_fill_changed_into_something_else_is_refused():
    compilations = [_compilation(_words(3)), _compilation(_words(3), 1), _compilation(_words(0x93), 2, fill=0x5A)]
    with pytest.raises(canonical.Unlike, match="no address"):
        canonical.canonicalise(compilations)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not begin"),
        (b"ELF" + bytes(100), "does not begin"),
        (_file(b"abcd")[:-1], "add up"),
        (_file(b"abcd") + b"x", "add up"),
        (b"RKNN" + b"\xff" * 100, "add up"),
        (_file(b"abcd", footer=b"{not json"), "JSON"),
        (_file(b"abcd", footer=b"\xff\xfe"), "JSON"),
        (_file(b"abcd", footer=[1]), "JSON table"),
    ],
)
def test_what_is_not_a_file_is_refused(content, said):
    with pytest.raises(canonical.Malformed, match=said):
        canonical.parse(content)


@given(st.data(), st.binary(min_size=4, max_size=400))
def test_everything_but_addresses_and_never_set_bytes_is_kept(data, model):
    """Addresses and holes at random places of a random model: all else comes out as it went in."""
    words = len(model) // 4
    places = data.draw(st.sets(st.integers(0, words - 1)), label="places of addresses and holes")
    addresses = {place for place in places if data.draw(st.booleans())}
    offset = data.draw(st.integers(0, 0xFFF_FFFF))

    def payload(process: int, fill: int) -> bytes:
        out = np.frombuffer(model[: words * 4], "<u4").copy()
        for place in places:
            address = _moved(ADDRESSES[place % 3], process) + offset
            out[place] = (
                (address >> 32 if place % 2 else address & 0xFFFFFFFF) if place in addresses else fill * 0x01010101
            )
        return out.tobytes() + model[words * 4 :]

    fills = (0, 0, 0x5A)
    made = canonical.canonicalise([_compilation(payload(p, f), p, f) for p, f in enumerate(fills)])
    wanted = np.frombuffer(model[: words * 4], "<u4").copy()
    wanted[list(places)] = 0
    assert _payload(made.content) == wanted.tobytes() + model[words * 4 :]
    assert made.address_words == len(addresses)
    assert made.never_set_bytes == 4 * (len(places) - len(addresses))
    assert canonical.is_of(made.content, _file(payload(3, 0x77)))


@given(st.binary(max_size=300))
def test_parsing_never_breaks(content):
    for candidate in (content, b"RKNN" + content, _file(content)):
        try:
            canonical.parse(candidate)
        except canonical.Malformed:
            pass


def test_addresses_that_could_coincide_are_noticed():
    apart = [_compilation(b"", process) for process in range(3)]
    assert not canonical.could_coincide(apart)
    assert canonical.could_coincide([apart[0], apart[0], apart[0]])
    stack = (0x7FFD_0000_0000, 0x7FFD_0080_0000)
    same_stack = [canonical.Compilation(one.content, 0, [*one.spans, stack]) for one in apart]
    assert canonical.could_coincide(same_stack)
    assert not canonical.could_coincide([*same_stack, apart[2]])


def test_a_file_of_another_model_is_not_of_a_compilation():
    assert canonical.is_of(_file(_words(1, 0, 3)), _file(_words(1, 2, 3)))
    assert not canonical.is_of(_file(_words(1, 2, 3)), _file(_words(1, 0, 3)))
    assert not canonical.is_of(_file(_words(1)), _file(_words(1, 0)))
    assert not canonical.is_of(_file(_words(1)), _file(_words(1), footer={"version": "2.6.0"}))


def test_maps_are_joined_where_they_are_near_and_end_below_the_kernel():
    maps = """\
561234567000-561234568000 r--p 00000000 08:01 1 /usr/bin/python
561234600000-561234700000 rw-p 00000000 00:00 0 [heap]
7f310abcd000-7f310abce000 r-xp 00000000 08:01 2 /lib/libc.so.6
7ffd12340000-7ffd12361000 rw-p 00000000 00:00 0 [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
"""
    assert toolkit.spans(maps) == [
        (0x561234567000, 0x561234700000),
        (0x7F310ABCD000, 0x7F310ABCE000),
        (0x7FFD12340000, 0x7FFD12361000),
    ]


class _Steps:
    """A step of the toolkit that gives what it is told to."""

    def __init__(self, outcome: object):
        self.outcome = outcome

    def export_rknn(self, path: str) -> object:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (-1, "returned -1"),
        (None, "returned None"),
        (0, "wrote nothing"),
        (ValueError("a\nlast"), "raised last"),
        (ValueError(), "raised ValueError"),
    ],
)
def test_every_step_is_judged_by_what_it_returns(tmp_path, outcome, said):
    with pytest.raises(toolkit.Failure, match=f"export_rknn {said}"):
        toolkit.export(_Steps(outcome), str(tmp_path / "model.rknn"))
