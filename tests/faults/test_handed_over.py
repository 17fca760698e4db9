"""What a command writes where the user said is whole whatever it is killed at: delivered folders, and single files."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from megbuild.cli.archive import _write
from megbuild.release.archive import Piece
from megbuild.store import durable
from megbuild.store.recovery import hand_over, handing_over
from tests.e2e.workspace import Running
from tests.execute.test_toolchains import wheel
from tests.faults.moments import killed_at, nobody_is_left
from tests.faults.test_commands import files_in, well
from tests.faults.toys import Toys

SEED = 20


@pytest.mark.parametrize("able", [True, False], ids=["one step", "two renames"])
def test_an_archive_is_whole_whatever_call_it_is_killed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    """Where the file system can exchange folders there always is one; else there may be none for a moment."""
    if not able:
        monkeypatch.setattr(durable, "exchange", lambda one, other: False)
    target = tmp_path / "dist/one"
    old, new = ({f"{n}": Piece.of(text * 9) for n in range(3)} for text in (b"old", b"new"))
    whole = [{n: p.read() for n, p in one.items()} for one in (old, new)]
    seen, at, killed = [], 0, True
    while killed:
        at += 1
        with handing_over(target.parent, pytest.fail):
            _write(old, target)
        killed = killed_at(at, lambda: deliver(new, target))
        seen.append(files_in(target))
        with handing_over(target.parent, pytest.fail):
            assert [path.name for path in target.parent.iterdir() if path.name != "one"] == [], at
    assert at > 8
    assert all(one in seen for one in whole)
    assert [one for one in seen if one not in whole] == ([] if able else [{}])


def deliver(pieces: dict[str, Piece], target: Path) -> None:
    with handing_over(target.parent, print):
        _write(pieces, target)


def test_a_file_is_whole_whatever_call_it_is_killed_at(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    seen, at, killed = [], 0, True
    while killed:
        at += 1
        path.write_bytes(b"old" * 9999)
        killed = killed_at(at, lambda: hand_over(path, b"new" * 9999, print))
        seen.append(path.read_bytes())
    assert set(seen) == {b"old" * 9999, b"new" * 9999}
    hand_over(path, b"newer", pytest.fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.json"]


def test_what_is_no_plain_file_is_written_to_as_it_stands(tmp_path: Path) -> None:
    """A rename would put a file into the place of a pipe, or of a device: ``--summary /dev/stdout``."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    hand_over(pipe, b"rows", pytest.fail)
    reader.join(60)
    assert (read, stat.S_ISFIFO(pipe.stat().st_mode)) == ([b"rows"], True)
    hand_over(Path("/dev/null"), b"rows", pytest.fail)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    link.symlink_to("rows.json")
    hand_over(link, b"rows", pytest.fail)
    assert (link.is_symlink(), (tmp_path / "rows.json").read_bytes()) == (True, b"rows")


def test_a_summary_is_whole_though_its_build_is_killed(toys: Toys) -> None:
    space = toys.space()
    well(space.build(summary=False))
    rows, chance = space.root / "rows.json", random.Random(SEED)
    begun = time.monotonic()
    well(space.build("--summary", str(rows), summary=False))
    seconds = time.monotonic() - begun
    for _ in range(3):
        running = space.start("--summary", str(rows), summary=False)
        time.sleep(chance.uniform(0.6, 1.05) * seconds)
        running.send(signal.SIGKILL)
        running.wait()
        assert len(json.loads(rows.read_text())["outputs"]) == 3
    well(space.build("--summary", str(rows), summary=False))
    assert not list(space.root.glob(".*.part"))


@pytest.mark.parametrize("words", [("toolchain", "lock", "requirements.in"), ("toolchain", "sync"), ("toolchain", "remove", "convert")], ids=" ".join)  # fmt: skip
def test_toolchains_are_whole_though_their_command_is_killed_at_chance_moments(
    toys: Toys, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Whether a lock is written, all environments are installed, or one is removed."""
    space = toys.space(toolchains=False)
    index, chance = tmp_path / "index", random.Random(SEED)
    index.mkdir()
    for version in ("1.0", "2.0"):
        wheel(index, "tiny", version)
    requirements, lock = space.root / "requirements.in", space.root / "requirements.lock"
    if words[1] == "lock":
        (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{index}"]\n')
        space.environment["UV_CONFIG_FILE"] = str(tmp_path / "uv.toml")
        requirements.write_text("tiny==1.0\n")
    else:
        well(space.doit("toolchain", "sync"))
    installed = {path.name for path in space.cache.glob("toolchains/*") if path.is_dir()}
    begun = time.monotonic()
    well(space.doit(*words))
    seconds = time.monotonic() - begun
    texts = {lock.read_text()} if words[1] == "lock" else set()
    for count in range(2):
        if words[1] == "lock":
            requirements.write_text(f"tiny=={1 + count % 2}.0\n")
        elif words[1] == "remove":
            well(space.doit("toolchain", "sync"))
        else:
            well(space.doit("toolchain", "remove", "convert", "megengine"))
        running = Running(space._popen(*words), space.root / "none")
        time.sleep(chance.uniform(0.3, 1.05) * seconds * (4 if words[1] == "sync" else 1))
        running.send(signal.SIGKILL)
        running.wait()
        nobody_is_left(space, 0)
        if words[1] == "lock":
            texts.add(lock.read_text())
        listed = {line.split()[1] for line in well(space.doit("toolchain", "list")).lines if " installed, " in line}
        assert listed <= {name[:12] for name in installed}
        assert well(space.doit("cache", "verify")).lines[0].startswith("sound: ")
    well(space.doit(*words))
    if words[1] == "lock":
        texts.add(lock.read_text())
        assert len(texts) <= 2 and all(text.count("sha256:") == 1 and text.endswith("\n") for text in texts)
        assert "tiny==2.0" in lock.read_text()
        assert not list(space.root.glob(".*.part"))
        return
    well(space.build(summary=False))
    assert space.artifacts() == toys.wanted()
    assert not list(space.cache.glob("toolchains/*.partial"))
