"""A network of the size of ResNet-50 converts in seconds, in four times the memory of its weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import FORMATS, REPOSITORY, in_toolchain

WEIGHTS = 102.2
"""Megabytes."""


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traced")
    in_toolchain("large.py", ["trace"], folder)
    return folder / "net.tm"


@pytest.mark.parametrize("format", FORMATS)
def test_large(format: str, traced: Path, tmp_path: Path) -> None:
    shutil.copyfile(traced, tmp_path / "net.tm")
    in_toolchain("large.py", [str(REPOSITORY), format], tmp_path)
    took = json.loads((tmp_path / "took.json").read_text())
    assert took["megabytes"] < 4 * WEIGHTS, took
    assert took["seconds"] < 30, took


def test_a_result_is_taken_for_that_of_a_convolution_only_if_it_is(tmp_path: Path) -> None:
    """What saves running a convolution twice: some places of the result are computed anew."""
    in_toolchain("spot.py", [str(REPOSITORY)], tmp_path)
