"""The detector as its researcher builds and delivers it, and as a firmware engineer gets it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .conftest import REPOSITORY, _cache
from .workspace import Workspace


def example(name: str, folder: Path) -> Workspace:
    """A copy of one example, as a workspace of its own."""
    shutil.copytree(REPOSITORY / "examples" / name, folder / "workspace", ignore=shutil.ignore_patterns("__pycache__"))
    models = folder / "workspace" / "MODELS.toml"
    models.write_text("workspace = true\n" + models.read_text())
    return Workspace(folder / "workspace", _cache(folder))


def test_the_detector(tmp_path: Path) -> None:
    """Every output passes with both results; and what is delivered finds the squares."""
    space = example("detector", tmp_path)
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    verdicts = {label.partition("@")[2]: row["verdict"] for label, row in outcome.rows.items()}
    assert verdicts == dict.fromkeys(("server", "server-direct", "onnx", "tflite", "rk3588"), "pass") | {
        "phone": "not run"
    }
    assert {row["samples"] for row in outcome.rows.values() if row["verdict"] == "pass"} == {24}
    direct, recommended = outcome.rows["//:squares@server-direct"], outcome.rows["//:squares@server"]
    assert direct["metrics"] == recommended["metrics"]
    assert space.build(summary=False).lines == ("everything is up to date: 6 outputs, nothing to run",)

    delivered = space.doit("archive", "//:squares", "--to", str(tmp_path / "squares"))
    assert delivered.status == 0, delivered.text
    assert not delivered.ran.keys() & {"//:squares#weights", "//:squares#tm"}, "they are there already"
    heat = np.load(tmp_path / "squares/expected/heat.npy")[:, 0, 0]
    truth = np.load(space.root / "truth.npy")
    found = np.array([np.unravel_index(one.argmax(), one.shape) for one in heat])
    assert (np.abs(found - truth[:, :2]).max(axis=1) <= 1).mean() >= 0.9
    space.end()


def test_the_firmware(tmp_path: Path) -> None:
    """The delivered network as C, bit-equal with Lite Python; for ARM; and packed."""
    space = example("lite_c", tmp_path)
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    rows = {label.partition("@")[2]: row for label, row in outcome.rows.items()}
    assert rows["firmware"]["runtime"].startswith("Lite C ")
    assert rows["firmware"]["metrics"] == rows["server"]["metrics"] == rows["packed"]["metrics"]
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "firmware": "pass",
        "firmware-arm64": "not run",
        "server": "pass",
        "packed": "pass",
    }
    again = space.build()
    assert (again.ran, again.restored) == ({}, {})
    text = (space.root / "squares/pin.toml").read_text()
    assert text in space.read("MODELS.toml"), "the lines are those that were delivered"
    space.end()
