"""megbuild's own catalogue: every preset is complete and fits the rules that are installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from megbuild.declare import hardware, rules
from megbuild.declare.load import load
from megbuild.declare.models import Hardware
from megbuild.declare.options import Options, Refused
from megbuild.errors import Problem

FOLDER = Path(__file__).parents[2] / "rules"
PROBLEMS: list[Problem] = []
RULES = rules.discover(FOLDER, None, FOLDER.parent, PROBLEMS).rules
KNOWN = hardware.catalogue(FOLDER / hardware.BUILTIN, None, Options(RULES), (), PROBLEMS)


def test_our_own_rules_and_hardware_are_sound() -> None:
    assert not PROBLEMS
    assert rules.builtin_rules_folder() == FOLDER


@pytest.mark.parametrize("preset", KNOWN.values(), ids=KNOWN)
def test_a_preset_is_complete(preset: Hardware) -> None:
    assert preset.family and preset.summary and preset.source
    by_format = [rule for rule in RULES if rule.rule.produces == preset.format]
    options = Options(by_format)
    for name, value in preset.options.items():
        assert not by_format or name in options, f"no rule that makes {preset.format} has the option {name}"
        assert not by_format or not isinstance(options.accept(name, value), Refused)


def test_layouts_that_crash_on_this_machine_are_not_run_here() -> None:
    crashing = {"nchw44", "nchw44_dot", "hwcd4", "nchw64"}
    for preset in (preset for preset in KNOWN.values() if preset.format == "mge"):
        assert preset.runs_here == (preset.options.get("layout") not in crashing)


def test_a_workspace_adds_its_own(write: Callable[[Mapping[str, str]], Path], toy_rules: Path) -> None:
    text = '[board]\nformat = "onnx"\noptions = { opset = 11 }\nfamily = "ours"\nruns_here = false\n'
    workspace = load(write({"HARDWARE.toml": text}), builtin=toy_rules)
    board = workspace.hardware["board"]
    assert (board.format, dict(board.options), board.family, board.runs_here) == ("onnx", {"opset": 11}, "ours", False)
    assert str(board.where) == "HARDWARE.toml:1:2"
    assert {"x86", "arm64", "board"} <= workspace.hardware.keys()
