"""What cannot be run on the build machine is made and checked, and labelled "not run": never "pass"."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SMALL
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]
INDENT = "\n" + 8 * " "


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ('hardware = "arm64"', "arm64 cannot run on the build machine"),
        ('hardware = "x86"; layout = "nchw44"', "layout nchw44 has no kernels for this machine"),
    ],
)
def test_an_artifact_of_another_machine(unbuilt: Make, output: str, reason: str) -> None:
    lines = INDENT.join(["[models.scale.outputs.board]", *output.split("; ")])
    space = unbuilt({"MODELS.toml": SMALL["MODELS.toml"].replace("[models.scale.outputs.x86]", lines)})
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    row = outcome.rows["//:scale@board"]
    assert (row["status"], row["verdict"]) == ("built", "not run"), outcome.text
    assert reason in row["reason"]
    record = json.loads(Path(space.root, "out/scale/board/record.json").read_text())
    assert (record["verdict"]["state"], record["verdict"]["samples"]) == ("not run", 0)
    assert Path(space.root, row["artifact"]).stat().st_size > 0
