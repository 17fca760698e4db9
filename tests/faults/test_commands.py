"""Other commands than ``build``: after a build that was killed, and killed themselves at chance moments."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.workspace import Outcome, Running, Workspace
from tests.faults import moments
from tests.faults.toys import CONVERSIONS, Toys, held

RELEASE = ("release", "//:one", "--allow-dirty", "--version", "1", "--zip")
SEED = 20


def killed(toys: Toys) -> Workspace:
    """A workspace whose build died in the middle of conversions, with all that is half-made then."""
    space = toys.space()
    running = held(space, CONVERSIONS)
    running.until("done  //:one#tm")
    moments.until(lambda: any(space.root.glob(".megbuild/actions/+*/out")), "no action is staged")
    running.send(signal.SIGKILL)
    running.wait()
    moments.nobody_is_left(space, 0)
    (space.root / "out/.0123456789ab.part").parent.mkdir(exist_ok=True)
    (space.root / "out/.0123456789ab.part").write_text("half")
    return space


def well(outcome: Outcome) -> Outcome:
    assert outcome.status == 0, outcome.text
    return outcome


def test_reading_commands_after_a_killed_build_leave_the_recovery_to_the_next_one(toys: Toys) -> None:
    space = killed(toys)
    for words in (("why", "//:one"), ("graph",), ("cache", "size"), ("cache", "verify"), ("cache", "gc"), ("lock",)):
        well(space.doit(*words))
    assert "of 12 actions are stale" in well(space.build("--dry-run", summary=False)).text
    assert (space.root / "out/.0123456789ab.part").exists()
    outcome = well(space.build(summary=False))
    assert "//:one#weights" not in outcome.ran, "what had finished was kept"
    assert space.artifacts() == toys.wanted()
    moments.nothing_grows(space)


def test_forget_after_a_killed_build_clears_away_what_it_left(toys: Toys) -> None:
    space = killed(toys)
    well(space.doit("forget", "//:one@x86"))
    moments.nothing_grows(space)
    assert "//:one#weights" in well(space.build(summary=False)).ran
    assert space.artifacts() == toys.wanted()


def test_forget_that_is_killed_leaves_the_recovery_to_the_next_one(toys: Toys) -> None:
    space = killed(toys)
    begun = time.monotonic()
    well(space.doit("why", "//:one"))
    seconds = time.monotonic() - begun  # of about as much, on this machine
    for part in (0.7, 0.9, 1.1):
        running = Running(space._popen("forget", "//:one@x86"), space.root / "none")
        time.sleep(part * seconds)
        running.send(signal.SIGKILL)
        running.wait()
    well(space.build(summary=False))
    assert space.artifacts() == toys.wanted()
    moments.nothing_grows(space)


@pytest.mark.parametrize("words", [("archive", "//:one"), RELEASE], ids=["archive", "release"])
def test_a_delivery_after_a_killed_build_is_whole(toys: Toys, words: tuple[str, ...]) -> None:
    space = killed(toys)
    well(space.doit(*words))
    moments.nothing_grows(space)
    if words == RELEASE:
        well(space.doit("release", "verify", "dist/models-1.tar.zst"))
        assert space.artifacts() == toys.wanted()


def files_in(folder: Path) -> dict[str, bytes]:
    """What can be seen in a folder; hidden files are not whole yet."""
    paths = (path.relative_to(folder) for path in folder.glob("**/*") if path.is_file())
    return {str(path): (folder / path).read_bytes() for path in paths if not str(path).startswith(".")}


@pytest.mark.parametrize("words", [("archive", "//:one"), RELEASE, ("lock",)], ids=["archive", "release", "lock"])
def test_what_is_handed_over_is_whole_though_its_command_is_killed_at_chance_moments(
    toys: Toys, words: tuple[str, ...]
) -> None:
    space = toys.space()
    well(space.build(summary=False))
    begun = time.monotonic()
    well(space.doit(*words))
    seconds = time.monotonic() - begun
    where = space.root if words == ("lock",) else space.root / "dist"
    whole = files_in(where)
    chance = random.Random(SEED)
    for count in range(3):
        if count % 2 == 0 and words != ("lock",):  # over an earlier one, and where there is none
            shutil.rmtree(where, ignore_errors=True)  # the last kill may have come before the folder was made
        running = Running(space._popen(*words), space.root / "none")
        time.sleep(chance.uniform(0.5, 1.05) * seconds)
        running.send(signal.SIGKILL)
        running.wait()
        assert files_in(where).items() <= whole.items(), "something half-written can be seen"
    well(space.doit(*words))
    assert files_in(where) == whole
    moments.nothing_grows(space)


def test_two_releases_at_once_write_one_after_the_other(toys: Toys) -> None:
    space = toys.space()
    well(space.build(summary=False))
    running = [Running(space._popen(*RELEASE), space.root / "none") for _ in range(3)]
    for one in running:
        well(one.wait())
    well(space.doit("release", "verify", "dist/models-1.tar.zst"))
    well(space.doit("release", "verify", "dist/models-1.zip"))
    assert sorted(path.name for path in (space.root / "dist").iterdir()) == ["models-1.tar.zst", "models-1.zip"]
