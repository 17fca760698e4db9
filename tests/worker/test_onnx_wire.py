"""ONNX files that reach for other files, or claim what they do not hold, are seen through without being parsed."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from megbuild.worker import onnx_wire


def number(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(at: int, content: bytes | int) -> bytes:
    """A field of a message: a number, or bytes with their length."""
    if isinstance(content, int):
        return number(at << 3) + number(content)
    return number(at << 3 | 2) + number(len(content)) + content


OUTSIDE = field(1, 1) + field(8, b"w") + field(13, field(1, b"location") + field(2, b"/etc/passwd")) + field(14, 1)
"""A tensor whose values stand in another file."""
PLACES = {
    "initialiser": field(7, field(5, OUTSIDE)),
    "sparse initialiser's values": field(7, field(15, field(1, OUTSIDE))),
    "sparse initialiser's indices": field(7, field(15, field(2, OUTSIDE))),
    "attribute": field(7, field(1, field(5, field(5, OUTSIDE)))),
    "attribute with several": field(7, field(1, field(5, field(10, OUTSIDE)))),
    "sparse attribute": field(7, field(1, field(5, field(22, field(1, OUTSIDE))))),
    "several sparse ones": field(7, field(1, field(5, field(23, field(2, OUTSIDE))))),
    "body of a loop": field(7, field(1, field(5, field(6, field(5, OUTSIDE))))),
    "branches": field(7, field(1, field(5, field(11, field(1, field(5, field(5, OUTSIDE))))))),
    "function": field(25, field(7, field(5, field(5, OUTSIDE)))),
    "default of a function": field(25, field(11, field(5, OUTSIDE))),
    "initialisation of a training": field(20, field(1, field(5, OUTSIDE))),
    "step of a training": field(20, field(2, field(1, field(5, field(5, OUTSIDE))))),
    "second graph": field(7, b"") + field(7, field(5, OUTSIDE)),
}


def fault(content: bytes) -> str:
    try:
        onnx_wire.check_bytes(content)
    except onnx_wire.Fault as found:
        return str(found)
    return ""


@pytest.mark.parametrize("place", PLACES)
def test_weights_elsewhere_are_seen_wherever_they_stand(place: str) -> None:
    assert 'the tensor "w" in another file' in fault(PLACES[place])


@pytest.mark.parametrize(
    "tensor",
    [
        field(14, 1),
        field(14, 7),
        field(13, b""),
        field(13, field(1, b"offset") + field(2, b"9" * 30)),
        number(14 << 3) + b"\x81\x80\x80\x80\x00",
    ],
    ids=["location", "another location", "an entry", "offset", "a long number"],
)
def test_a_hint_of_another_file_is_enough(tensor: bytes) -> None:
    assert "external data" in fault(field(7, field(5, tensor)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (field(7, field(5, field(1, 10**12) + field(9, b"1234"))), "claims 1000000000000 values"),
        (field(7, field(5, field(1, number(10**6) * 3) + field(9, b"1234"))), "claims 1000000000000000000 values"),
        (field(7, field(5, field(1, 2**64 - 1))), "a negative dimension"),
        (field(7, field(5, field(1, b"\x01" * 2000))), "more than 1000 dimensions"),
        (field(7, field(15, field(3, 2**40))), "values for a sparse tensor"),
        (number(7 << 3 | 2) + number(2**40) + b"x", "more bytes than it holds"),
        (field(7, number(5 << 3 | 2) + number(10) + b"x") + b"x" * 20, "more bytes than it holds"),
        (b"\xff" * 20, "is not an ONNX file"),
        (b"\x3b\x3c", "is not an ONNX file"),
        (b"\x3a\xff", "ends in the middle"),
        (b"\x0a", "ends in the middle"),
    ],
)
def test_what_is_claimed_and_not_held(content: bytes, said: str) -> None:
    assert said in fault(content)


def test_nesting_beyond_reason() -> None:
    content = b""
    for _ in range(60):  # a graph in an attribute of a node
        content = field(1, field(5, field(6, content)))
    assert "nested deeper" in fault(field(7, content))


def test_honest_files_pass() -> None:
    root = Path(__file__).parents[2]
    paths = [*root.glob("tests/rules/onnx_import/files/*.onnx"), root / "examples/imported/network.onnx"]
    assert len(paths) > 3
    for path in paths:
        onnx_wire.check(path)
    onnx_wire.check_bytes(field(7, field(5, field(1, 8) + field(2, 22) + field(9, b"1234"))))  # 4 bits each


def test_a_file_beyond_the_limit_of_protobuf_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    path.touch()
    for size, said in ((0, "is empty"), (3 << 30, "at most 2 GiB"), ((1 << 31) - 1, "")):
        with path.open("r+b") as file:
            file.truncate(size)
            if size:  # one field of bytes that takes all of the rest
                file.write(number(6 << 3 | 2) + number(size - 6))
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            onnx_wire.check(path)
            found = ""
        except onnx_wire.Fault as error:
            found = str(error)
        assert said in found and bool(said) == bool(found)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
        assert time.process_time() - begun < 5
