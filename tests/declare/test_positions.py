"""Every way of writing a key in TOML, and where it is found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from megbuild.declare.positions import Place, index

TEXT = """\
# first line
top = 1
"quoted key".'single' = { inner = [1, { deep = 2 }] }  # é
"é".b = "ü"
[models.net]
inputs = [
  { name = "a" },
  # a comment between
  { name = "b", shape = [1, 2] },
]
[models."x y".outputs.phone]
hardware = '''
long'''
[[list]]
k = 1
[[list]]
k = 2
[list.sub]
z = 3
"""


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        (("top",), (2, 1), (2, 7)),
        (("quoted key",), (3, 1), (3, 25)),
        (("quoted key", "single"), (3, 14), (3, 25)),
        (("quoted key", "single", "inner", 0), (3, 36), (3, 36)),
        (("quoted key", "single", "inner", 1, "deep"), (3, 41), (3, 48)),
        (("é", "b"), (4, 5), (4, 9)),
        (("models", "net"), (5, 9), (5, 9)),
        (("models", "net", "inputs", 1), (9, 3), (9, 3)),
        (("models", "net", "inputs", 1, "shape", 1), (9, 29), (9, 29)),
        (("models", "x y", "outputs", "phone"), (11, 23), (11, 23)),
        (("models", "x y", "outputs", "phone", "hardware"), (12, 1), (12, 12)),
        (("list", 0, "k"), (15, 1), (15, 5)),
        (("list", 1, "k"), (17, 1), (17, 5)),
        (("list", 1, "sub", "z"), (19, 1), (19, 5)),
    ],
)
def test_keys_and_values(keys: tuple[str | int, ...], key: tuple[int, int], value: tuple[int, int]) -> None:
    assert index(TEXT.encode())[keys] == (key, value)


def test_a_place_finds_itself_or_the_nearest_table(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(TEXT)
    place = Place("shown.toml", str(path))
    assert str(place.at("models", "net", "inputs", 1, "name")) == "shown.toml:9:12"
    assert str(place.key_of("models", "net", "inputs", 1, "name")) == "shown.toml:9:5"
    assert str(place.at("models", "net", "missing")) == "shown.toml:5:9"
    assert str(place.at("nowhere")) == "shown.toml:1:1"
    assert str(Place("gone.toml", str(tmp_path / "gone")).at("x")) == "gone.toml"


def test_windows_line_ends_and_broken_files() -> None:
    assert index(b"a = 1\r\nb = 2\r\n")[("b",)] == ((2, 1), (2, 5))
    assert index(b"a = 1\nb = [1,\n[c]\nd = 2\n")[("a",)] == ((1, 1), (1, 5))
