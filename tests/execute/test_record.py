"""What is remembered for the next build and for ``why``, and what the memory of a build does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from megbuild.cli.fast import answer
from megbuild.execute.memory import Memory
from megbuild.store.content import Missing
from megbuild.store.digests import Stamp, digest_bytes
from megbuild.store.state import Published, State


def told(toy: Any, id: str) -> str:
    entry = State.load(toy.root, pytest.fail).told[id]
    return f"{entry.verb}: {'; '.join(entry.reasons)}"


def test_why(toy: Any) -> None:
    toy.build()
    assert told(toy, "//:net#weights") == "built: never built"
    toy.write({"train.py": "# why not\ndef train(path): pass\n"})
    toy.build()
    assert told(toy, "//:net#weights") == "up to date: train.py changed (comments or formatting only)"
    toy.write({"net.py": "def build(weights): return 2\n"})
    toy.work["//:net#tm"] = lambda action, folder: [
        (folder / f"out/{name}").write_text("same") for name in ("artifact/model.tm", "io.json")
    ]
    toy.build()
    assert told(toy, "//:net#tm") == "built: net.py changed"
    # what it was kept for still stands: it was not its turn
    assert told(toy, "//:net#weights") == "up to date: train.py changed (comments or formatting only)"
    toy.write({"net.py": "def build(weights): return 3\n"})
    toy.build()
    assert told(toy, "//:net#mge") == "up to date: its inputs came out as they were"


def test_the_fast_answer(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.root)
    assert answer([]) is None
    toy.build()
    toy.build()
    assert answer([]) == "everything is up to date: 3 outputs, nothing to run"
    assert answer(["//:net@x86"]) is None  # not asked for yet
    assert answer(["-k"]) is None
    for change in (
        "out/net/x86/net.mge",
        "net.py",
        "samples/1.npy",
        "MODELS.toml",
        "HARDWARE.toml",
        "rules/new/rule.py",
    ):
        path = toy.root / change
        before = path.read_bytes() if path.exists() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((before or b"") + b"\n")
        assert answer([]) is None, change
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        if change.startswith("rules"):
            import shutil

            shutil.rmtree(toy.root / "rules")
        toy.build()
        toy.build()
        assert answer([]), change


def test_what_failed_is_never_up_to_date(toy: Any, fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.root)
    toy.measured["//:net#onnx+measured"] = toy.bad(cosine=0.1)
    for _ in range(3):
        assert toy.report(keep_going=True).failed
        assert answer([]) is None


def test_publishing_is_refused_before_anything_changes(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "ws", tmp_path / "cache", print)
    good = memory.content.put_bytes(b"good")
    with pytest.raises(Missing):
        memory.publish("//:a@b", {"out/a/b/one": good, "out/a/b/two": digest_bytes(b"lost")})
    assert not (tmp_path / "ws/out").exists()


def test_thousands_of_published_files_are_no_burden(tmp_path: Path) -> None:
    """A plan asks for the damage of every action; each must not look through all that was ever published."""
    memory = Memory(tmp_path, tmp_path / "cache", print)
    for number in range(10_000):
        memory.state.published[f"//:m{number}@o"] = {f"out/{number}": Published(Stamp(0, 0, 0, 0), "0")}
    memory.state.save()
    memory = Memory(tmp_path, tmp_path / "cache", print)
    begun = time.process_time()
    for number in range(10_000):
        memory.damage(f"//:m{number}#tm")
    assert time.process_time() - begun < 2
    assert [str(reason) for reason in memory.damage("//:m7@o")] == ["out/7 was deleted"]


def test_a_lost_state_is_restored_from_the_store(toy: Any) -> None:
    import shutil

    toy.build()
    shutil.rmtree(toy.root / ".megbuild")
    rows = toy.build()
    assert toy.ran == []
    assert {row.status for row in rows.values()} == {"restored"}


def test_the_rows_of_a_summary(toy: Any) -> None:
    import json

    from megbuild.execute.report import as_json

    report = toy.report()
    document = json.loads(as_json(report.rows, 1.23456))
    assert (document["format"], document["seconds"]) == (1, 1.235)
    row = document["outputs"][0]
    artifact = (toy.root / row["artifact"]).read_bytes()
    assert (row["label"], row["artifact"], row["size"]) == ("//:net@x86", "out/net/x86/net.mge", len(artifact))
    assert row["sha256"] == digest_bytes(artifact).sha256 == row["files"]["out/net/x86/net.mge"]
    assert (row["verdict"], row["samples"], row["metrics"]["cosine"], row["runtime"]) == ("pass", 4, 1.0, "toy 1")
