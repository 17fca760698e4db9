"""Stock mgeconvert makes a call for every byte of a TFLite file. Here that takes no time, and the bytes are equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import REPOSITORY, in_toolchain

CHANNELS = 161
"""Of three convolutions: 2.8 MB of weights."""


def took(folder: Path, lowering: str, buffers: str = "ours", seed: str = "0") -> Any:
    folder.mkdir()
    in_toolchain("writer.py", [str(REPOSITORY), lowering, str(CHANNELS), buffers], folder, seed)
    return json.loads((folder / "took.json").read_text())


@pytest.mark.parametrize("lowering", ["concrete", "mgeconvert"])
def test_2_8_mb_take_less_than_2_seconds(lowering: str, tmp_path: Path) -> None:
    first = took(tmp_path / "first", lowering)
    assert first["megabytes"] == pytest.approx(2.8, abs=0.05)
    assert first["seconds"] < 2, first
    assert took(tmp_path / "again", lowering, seed="1")["digest"] == first["digest"]


def test_the_bytes_are_those_of_stock_mgeconvert(tmp_path: Path) -> None:
    ours = took(tmp_path / "ours", "mgeconvert")
    stock = took(tmp_path / "stock", "mgeconvert", "stock")
    assert ours["digest"] == stock["digest"]
    assert stock["seconds"] > 4 * ours["seconds"], (ours, stock)
