"""docs/models.md says something of every key, threshold and option, and nothing of others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from megbuild.declare import schema
from megbuild.declare.load import load
from megbuild.verify.judge import DEFAULTS, METRICS

ROOT = Path(__file__).parents[2]
SECTIONS = dict(
    re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##|\Z)", (ROOT / "docs/models.md").read_text(), re.DOTALL | re.MULTILINE)
)
TABLES = {
    "The file": schema.FileTable,
    "Defaults": schema.DefaultsTable,
    "Model": schema.ModelTable,
    "Input": schema.InputTable,
    "Result": schema.ResultTable,
    "Delivered file": schema.PinnedTable,
    "Output": schema.OutputTable,
    "Thresholds": schema.VerifyTable,
    "Budget": schema.BudgetTable,
    "Release": schema.ReleaseTable,
}


def rows(section: str, number: int = 0) -> list[list[str]]:
    """The cells of a table of a section, without its head."""
    tables = re.findall(r"(?:^\|.*\n)+", SECTIONS[section], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[number].splitlines()[2:]]


def key(cell: str) -> str:
    """``[models.NAME.outputs.NAME]`` is the key ``outputs``."""
    parts = [part for part in cell.strip("`[]").split(".") if part != "NAME"]
    return parts[-1]


@pytest.mark.parametrize("section", TABLES)
def test_every_key_has_its_row(section: str) -> None:
    written = [key(row[0]) for row in rows(section)]
    assert sorted(written) == sorted(TABLES[section].__struct_fields__)


def test_every_option_of_every_rule_has_its_row() -> None:
    installed = {
        (name, rule.name): option.default for rule in load(ROOT).rules for name, option in rule.rule.options.items()
    }
    written = {
        (key(row[0]), rule): row[3].strip('`"') for row in rows("Options of the rules") for rule in row[1].split(", ")
    }
    assert written.keys() == installed.keys()
    for pair, default in installed.items():
        assert written[pair] in (str(default), str(default).lower(), "of the hardware")


def test_the_thresholds_are_those_that_judge() -> None:
    assert [key(row[0]) for row in rows("Thresholds")] == list(METRICS)
    written = {
        row[0].strip("`"): dict(zip(("cosine", "scale", "top1"), map(float, row[1:]), strict=True))
        for row in rows("Thresholds", 1)
    }
    assert written == {name or "full": limits for name, limits in DEFAULTS.items()}
