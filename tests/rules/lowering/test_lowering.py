"""Every case in every format, run on the format's own runtime against MegEngine, or refused for its reason."""

from __future__ import annotations

import pytest

from .conftest import ENOUGH, Answers, Cell, cells


@pytest.mark.parametrize("cell", list(cells()), ids=str)
def test_cell(cell: Cell, answers: Answers) -> None:
    answer = answers[str(cell)]
    if cell.refused:
        assert answer["outcome"] == "refused", answer
        assert cell.refused in answer["said"]
    else:
        assert answer["outcome"] == "ok", answer["said"]
        assert answer["error"] < ENOUGH
