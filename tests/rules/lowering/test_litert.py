"""The TFLite files of all cases in LiteRT 2.3, with its default kernels (XNNPACK): as right as in the interpreter of 2.14."""

from __future__ import annotations

import fcntl
import json
from typing import Any

import pytest

from .conftest import ENOUGH, Answers, Cell, cells, in_toolchain, shared_folder

CELLS = [cell for cell in cells() if cell.format == "tflite" and not cell.refused]


@pytest.fixture(scope="module")
def litert(answers: Answers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The errors by the name of the case."""
    folder = shared_folder(tmp_path_factory)
    with (folder / "litert.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "litert").exists():
            in_toolchain("litert.py", [".", "litert"], folder, toolchain_name="tflite_int8")
    found: dict[str, Any] = json.loads((folder / "litert").read_text())
    return found


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_litert_agrees(cell: Cell, answers: Answers, litert: dict[str, Any]) -> None:
    assert answers[str(cell)]["outcome"] == "ok"
    found = litert[cell.case]
    assert isinstance(found, float) and found < ENOUGH, found
