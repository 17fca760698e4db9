"""Every code that megbuild can show is explained, and none is explained that it cannot show."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODES = {
    code for path in (ROOT / "megbuild").rglob("*.py") for code in re.findall(r'"(MB\d{3})"', path.read_text("utf-8"))
}
EXPLAINED = Counter(re.findall(r"^### (MB\d{3}): \S", (ROOT / "docs/errors.md").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_is_explained_once(code: str) -> None:
    assert EXPLAINED[code] == 1, f"explain {code} in docs/errors.md"


def test_nothing_else_is_explained() -> None:
    assert not EXPLAINED.keys() - CODES
