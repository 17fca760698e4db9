"""``doit cache gc`` with real bundles and locks, and beside builds; releases of what is damaged."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

from megbuild.store.state import State
from tests.e2e.workspace import Running, Workspace
from tests.faults import moments
from tests.faults.test_cache import blobs, damage, records
from tests.faults.test_commands import RELEASE, files_in, well
from tests.faults.toys import FILES, Toys

SEED = 20
GC = ("cache", "gc", "--max-size", "0")


def declare(space: Workspace, width: int) -> None:
    """Another shape, which enters every result; 3 is that of all others."""
    space.write("MODELS.toml", FILES["MODELS.toml"].replace("[1, 3]", f"[1, {width}]"))


def test_what_a_bundle_was_made_of_stays_as_long_as_the_bundle(toys: Toys) -> None:
    space = toys.space()
    well(space.build(summary=False))
    well(space.doit("lock"))
    well(space.doit(*RELEASE))
    released = {path.name for path in records(space)}
    declare(space, 4)
    well(space.build(summary=False))
    both = {path.name for path in records(space)}
    assert len(both) > 1.5 * len(released)
    would = well(space.doit(*GC, "--dry-run"))
    assert {path.name for path in records(space)} == both
    cleaned = well(space.doit(*GC))
    assert cleaned.lines[0].split(":")[0] == would.lines[0].replace("would remove", "removed").split(":")[0]
    (note,) = (space.cache / "bundles").iterdir()
    told = json.loads(note.read_text())
    assert told["path"] == str(space.root / "dist/models-1.tar.zst")
    assert set(told["keys"].values()) <= {path.name for path in records(space)}, "a bundle's results are gone"
    declare(space, 3)
    again = well(space.build(summary=False))
    assert not [line for line in again.lines if "@" in line and line.startswith("judge")]
    assert space.artifacts() == toys.wanted()
    declare(space, 4)
    well(space.build(summary=False))
    for bundle in (space.root / "dist").iterdir():
        bundle.unlink()
    well(space.doit("cache", "gc", "--keep-days", "0"))
    needed = {built.key for built in State.load(space.root, print).built.values()}
    left = set(told["keys"].values()) & {path.name for path in records(space)}
    assert left <= needed, "nobody needs them any more"
    assert len(left) < len(told["keys"])
    assert well(space.doit("cache", "verify"))


def test_cleaning_at_chance_moments_of_a_build_and_killed_at_them(toys: Toys) -> None:
    chance = random.Random(SEED)
    first = toys.space()
    well(first.build(summary=False))
    for number in range(4):
        declare(first, 10 + number)
        well(first.build(summary=False))
        space = toys.space(cache=first.cache)
        declare(space, 20 + number)
        running = space.start(summary=False)
        running.until("run ")
        time.sleep(chance.uniform(0.0, 1.0))
        cleaning = Running(space._popen(*GC), space.root / "none")
        if number % 2:  # killed while it waits, or removes
            well(running.wait())
            time.sleep(chance.uniform(0.0, 0.3))
            cleaning.send(signal.SIGKILL)
            cleaning.wait()
        else:
            well(running.wait())
            well(cleaning.wait())
        made = space.artifacts()
        well(space.doit("cache", "verify"))
        shutil.rmtree(space.root / "out")
        outcome = well(space.build(summary=False))
        assert outcome.ran == {}, "what a workspace needs was removed"
        assert space.artifacts() == made != {}
        toys.drop(space)


def test_a_release_of_what_is_damaged_is_made_again(toys: Toys) -> None:
    space = toys.space()
    well(space.build(summary=False))
    well(space.doit(*RELEASE))
    whole = files_in(space.root / "dist")
    every = blobs(space)
    for blob in every:
        damage(blob)
    outcome = well(space.doit(*RELEASE))
    assert [line for line in outcome.lines if "was damaged on the disk" in line], outcome.text
    assert files_in(space.root / "dist") == whole
    well(space.doit("release", "verify", "dist/models-1.tar.zst"))


def test_watch_beside_builds(toys: Toys) -> None:
    space = toys.space()
    watching = Running(space._popen("watch"), space.root / "none")
    watching.until("run ")
    beside = [space.start(summary=False) for _ in range(2)]
    for one in beside:
        well(one.wait())
    watching.until("watching ")
    declare(space, 4)
    beside = [space.start(summary=False) for _ in range(2)]
    for one in beside:
        well(one.wait())
    watching.send(signal.SIGKILL)
    watching.wait()
    assert well(space.build(summary=False)).lines[-1].startswith("everything is up to date")
    moments.nothing_grows(space)


def test_cleaning_and_releasing_while_toolchains_are_installed(toys: Toys) -> None:
    space = toys.space(toolchains=False)
    running = space.start(summary=False)
    running.until("toolchain megengine: installing")
    cleaning = Running(space._popen(*GC), space.root / "none")
    releasing = Running(space._popen(*RELEASE), space.root / "none")
    for one in (running, cleaning, releasing):
        well(one.wait())
    assert space.artifacts() == toys.wanted()
    well(space.doit("release", "verify", "dist/models-1.tar.zst"))
    space.root.joinpath("MODELS.toml").unlink()
    partial = next(path for path in (space.cache / "toolchains").iterdir() if path.is_dir())
    partial.rename(partial.with_suffix(".partial"))  # as a removal that is killed leaves it
    well(Workspace(Path(space.cache), space.cache, command=space.command).doit("cache", "gc"))
    assert [path.name for path in (space.cache / "toolchains").iterdir() if path.suffix == ".partial"] == []
