"""What was declared once and is not any more leaves ``out/``, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from megbuild.cli.fast import answer

ONNX = "[models.net.outputs.onnx]\n"


def declare(toy: Any, onnx: bool) -> None:
    path = toy.root / "MODELS.toml"
    text = path.read_text().replace(ONNX, "")
    path.write_text(text + ONNX if onnx else text)


def test_an_output_that_is_declared_no_more_leaves_and_returns(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.build()
    made = (toy.root / "out/net/onnx/net.onnx").read_bytes()
    declare(toy, onnx=False)
    rows = toy.build()
    assert set(rows) == {"//:net@x86", "//:net@chip"}
    assert "//:net@onnx is not declared any more: 2 files were removed from out/" in toy.heard.notes
    assert not (toy.root / "out/net/onnx").exists()
    assert (toy.root / "out/net/x86/net.mge").exists()
    monkeypatch.chdir(toy.root)
    assert answer([]) == "everything is up to date: 2 outputs, nothing to run"
    declare(toy, onnx=True)
    ran = len(toy.ran)
    rows = toy.build()
    assert rows["//:net@onnx"].status == "restored" and len(toy.ran) == ran == 0
    assert (toy.root / "out/net/onnx/net.onnx").read_bytes() == made


def test_a_whole_model_leaves(toy: Any) -> None:
    other = (toy.root / "MODELS.toml").read_text().replace("workspace = true", "")
    toy.write({"sub/MODELS.toml": other, "sub/net.py": "def build(weights): return 1\n"})
    toy.write({"sub/train.py": "def train(path): pass\n", "sub/samples/0.npy": "zero"})
    toy.build("//...")
    (toy.root / "sub/MODELS.toml").unlink()
    toy.build("//...")
    assert len([note for note in toy.heard.notes if "is not declared any more" in note]) == 3
    assert not (toy.root / "out/sub").exists()
    assert (toy.root / "out/net/onnx/net.onnx").exists()


def test_only_what_was_asked_for_leaves(toy: Any) -> None:
    toy.build()
    declare(toy, onnx=False)
    toy.build("//:net@x86")
    assert (toy.root / "out/net/onnx/net.onnx").exists()
    toy.build("//:net")
    assert not (toy.root / "out/net/onnx").exists()


def test_what_was_edited_by_hand_stays(toy: Any) -> None:
    toy.build()
    artifact = toy.root / "out/net/onnx/net.onnx"
    artifact.write_text("mine")
    (toy.root / "out/net/onnx/notes.txt").write_text("mine, too")
    declare(toy, onnx=False)
    toy.build()
    (told,) = [note for note in toy.heard.notes if "is not declared any more" in note]
    assert told.endswith("1 file was removed from out/; changed since they were made, and kept: out/net/onnx/net.onnx")
    assert artifact.read_text() == "mine"
    assert {path.name for path in artifact.parent.iterdir()} == {"net.onnx", "notes.txt"}
    toy.build()
    assert not [note for note in toy.heard.notes if "is not declared any more" in note]


def test_a_link_below_out_is_not_followed(toy: Any, tmp_path: Path) -> None:
    """Artifacts are never written outside of ``out/``; that itself may lie on another disk."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (toy.root / "out").mkdir()
    (toy.root / "out/net").symlink_to(elsewhere)
    failed = toy.report(keep_going=True).failed
    assert {failure.action for failure in failed} == {"//:net@x86", "//:net@onnx", "//:net@chip"}
    assert "out/net/x86 leads out of out/ by a link [MB614]" in str(failed)
    assert not list(elsewhere.iterdir())
    (toy.root / "out/net").unlink()
    (toy.root / "out").rmdir()
    (toy.root / "out").symlink_to(elsewhere)
    assert {row.status for row in toy.build().values()} <= {"built", "restored"}
    assert (elsewhere / "net/x86/net.mge").exists()
