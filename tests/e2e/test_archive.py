"""The hand-over: what ``doit archive`` delivers builds in another workspace, from the lines that it prints, to the same verdicts."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .conftest import _cache
from .networks import TWO_INPUTS
from .workspace import Outcome, Workspace

Make = Callable[[dict[str, str]], Workspace]

FILES = {
    "research/MODELS.toml": """
        [models.net]
        source      = "net.py:build"
        inputs      = [{ name = "image", shape = [1, 3, 8, 8], range = [0.0, 1.0] }, { name = "bias", shape = [1, 4] }]
        results     = [{ name = "scores", shape = [1, 4] }, { name = "best", shape = [1] }]
        samples     = ["//research/b/*.npz", "a/*.npz"]
        labels      = "classes.npy"
        calibration = "a/*.npz"
        [models.net.outputs.x86]
    """,
    "MODELS.toml": "workspace = true\n",
    "research/net.py": TWO_INPUTS,
}
SAME = ("verdict", "samples", "accuracy", "metrics", "runtime", "sha256")


@pytest.fixture
def research(unbuilt: Make) -> Workspace:
    """A model with two inputs, samples in two folders under one name, and labels in the order of their paths."""
    made = unbuilt(FILES)
    random = np.random.RandomState(1)
    for folder, count in (("a", 3), ("b", 2)):
        (made.root / "research" / folder).mkdir()
        arrays = {"image": random.uniform(0, 1, (count, 3, 8, 8)), "bias": random.uniform(-1, 1, (count, 4))}
        np.savez(
            made.root / "research" / folder / "some.npz", **{name: a.astype("float32") for name, a in arrays.items()}
        )
    np.save(made.root / "research/classes.npy", np.array([0, 1, 2, 3, 0]))
    return made


def pasted(outcome: Outcome) -> str:
    """The lines that the command prints to be pasted, as they stand."""
    start = next(number for number, line in enumerate(outcome.lines) if line.startswith("[models."))
    return "\n".join(outcome.lines[start:]) + "\n"


def test_the_receiver_gets_the_same_verdicts(research: Workspace, tmp_path: Path) -> None:
    given = tmp_path / "given"
    outcome = research.doit("archive", ":net", "--to", str(given / "net"), folder="research")
    assert outcome.status == 0, outcome.text
    assert not any("#mge" in line for line in outcome.lines), "the outputs of the model are not needed"
    ours = research.build("//research:net@x86").rows["//research:net@x86"]

    received = tmp_path / "received"
    shutil.copytree(given / "net", received / "vision" / "net")
    engineer = Workspace(received, _cache(tmp_path / "engineer"))
    engineer.write("MODELS.toml", "workspace = true\n")
    (received / "vision/MODELS.toml").write_text(pasted(outcome) + '[models.net.outputs.server]\nhardware = "x86"\n')
    built = engineer.build()
    assert built.status == 0, built.text
    theirs = built.rows["//vision:net@server"]
    assert {name: theirs[name] for name in SAME} == {name: ours[name] for name in SAME}
    assert (theirs["samples"], theirs["verdict"], theirs["accuracy"] is not None) == (5, "pass", True)

    (received / "vision/net/net.tm").write_bytes(b"another")
    changed = engineer.build()
    assert changed.status == 1
    assert "vision/net/net.tm has sha256" in changed.errors[0]
    engineer.end()


def test_what_is_delivered(research: Workspace, tmp_path: Path) -> None:
    to = tmp_path / "net"
    outcome = research.doit("archive", "//research:net", "--to", str(to))
    assert outcome.status == 0, outcome.text
    assert (to / "pin.toml").read_text() == pasted(outcome)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=to, check=True)
    told = json.loads((to / "archive.json").read_text())
    assert told["tm"]["sha256"] == hashlib.sha256((to / "net.tm").read_bytes()).hexdigest()
    assert [tensor["name"] for tensor in told["inputs"]] == ["image", "bias"]
    assert told["results"][1] == {"name": "best", "shape": [1], "dtype": "int32"}, "the type that was left open"
    assert told["operators"]["megengine.module.conv.Conv2d"] == 1
    assert told["operators"]["megengine.functional.math.argmax"] == 1
    assert told["versions"]["runtime"].startswith("MegEngine 1.")
    assert told["versions"]["packages"]["megengine"] in told["versions"]["runtime"]
    assert (told["verdict"]["state"], told["verdict"]["samples"]) == ("pass", 5)
    assert {"research/net.py", "research/classes.npy"} <= told["sources"].keys()
    assert told["samples"] == ["samples/00000-some.npz", "samples/00001-some.npz"]
    first = np.load(to / "samples/00000-some.npz")["image"]
    assert np.array_equal(first, np.load(research.root / "research/a/some.npz")["image"])
    assert np.load(to / "expected/scores.npy").shape == (5, 1, 4)

    assert not (research.root / "out").exists(), "what nobody declared is delivered, not published"

    before = {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert research.doit("archive", "//research:net", "--to", str(to)).status == 0
    assert {path: path.read_bytes() for path in to.rglob("*") if path.is_file()} == before


def test_the_printed_lines_are_what_an_engineer_can_run_by_hand(research: Workspace, tmp_path: Path) -> None:
    """Without samples there is nothing to pin but the network; the synthetic sample is there, with its results."""
    for line in (
        'samples     = ["//research/b/*.npz", "a/*.npz"]\n',
        'labels      = "classes.npy"\n',
        'calibration = "a/*.npz"\n',
    ):
        research.edit("research/MODELS.toml", line, "")
    outcome = research.doit("archive", "//research:net")
    assert outcome.status == 0, outcome.text
    assert "samples" not in pasted(outcome) and "labels" not in pasted(outcome)
    to = research.root / "dist/net"
    assert np.load(to / "golden/inputs/image.npy").shape == (1, 1, 3, 8, 8)
    assert np.array_equal(np.load(to / "golden/results/scores.npy"), np.load(to / "expected/scores.npy"))
    assert not (to / "samples").exists()


def test_what_cannot_be_delivered(research: Workspace, tmp_path: Path) -> None:
    for words, said in (
        ([], "needs the label of one model"),
        (["//research:net@x86"], "delivers one model, and //research:net@x86 is none"),
        (["//research/..."], "delivers one model, and //research/... is none"),
        (["//research:nett"], "no model is named nett"),
    ):
        outcome = research.doit("archive", *words)
        assert outcome.status == 2, outcome.text
        assert said in outcome.errors[0]
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.txt").write_text("mine")
    outcome = research.doit("archive", "//research:net", "--to", str(kept))
    assert (outcome.status, (kept / "thesis.txt").read_text()) == (2, "mine")
    assert f"{kept} holds something else than a delivered model [MB430]" in outcome.errors[0]
    text = research.read("research/MODELS.toml")
    research.write("research/MODELS.toml", text + "[models.net.outputs.tm]\nverify = { accuracy = 1.0 }\n")
    outcome = research.doit("archive", "//research:net", "--to", str(tmp_path / "none"))
    assert (outcome.status, "[MB431]" in outcome.text) == (1, True), outcome.text
    assert "accuracy" in outcome.text
    research.write("research/MODELS.toml", text)
    research.edit("research/net.py", "return network", "raise ValueError('no data')")
    outcome = research.doit("archive", "//research:net", "--to", str(tmp_path / "none"))
    assert outcome.status == 1
    assert "//research:net has no .tm to deliver: " in outcome.text and "[MB431]" in outcome.text
    assert not (tmp_path / "none").exists()
