"""What doit alone gets wrong for us, one test each: shared/facts, "What doit gets wrong", each was reproduced there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from .workspace import PAUSE, Workspace

TRAIN = "def train(weights):\n"
UP_TO_DATE = ("everything is up to date: 1 outputs, nothing to run",)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_hole_1_killed_mid_build_it_keeps_what_finished(small: Workspace, number: signal.Signals) -> None:
    """And leaves no worker behind, which would write into the folders of the next build."""
    small.edit(
        "scale.py",
        "    return network\n",
        f"{PAUSE}    return network\n",
    )
    running = small.start()
    small.until_log("tm", "asleep")
    running.send(number)
    assert running.wait().status != 0
    small.until_no_workers()
    shutil.rmtree(small.root / ".megbuild/logs")
    running = small.start()
    small.until_log("tm", "asleep")
    small.wake()
    outcome = running.wait()
    assert outcome.status == 0, outcome.text
    assert outcome.ran.keys() == {
        "//:scale#tm"
    }  # not the weights: they had been made; and nothing after it: an equal .tm
    assert outcome.ran["//:scale#tm"] == "scale.py changed"
    assert outcome.restored == {}  # this workspace itself remembers, without a look into the store


def test_hole_2_two_builds_at_once_run_each_action_once(small: Workspace) -> None:
    small.edit("scale.py", TRAIN, TRAIN + PAUSE)
    first = small.start()
    small.until_log("weights", "asleep")
    second = small.start()
    said = second.until("waiting for ")
    small.wake()
    assert re.fullmatch(rf"waiting for `doit build .*` \(pid {first.process.pid}, started \d\d:\d\d:\d\d\)\n", said)
    made, waited = first.wait(), second.wait()
    assert (made.status, waited.status) == (0, 0)
    assert made.ran.keys() == {"//:scale#weights", "//:scale#tm"}
    assert waited.ran == {}
    assert waited.statuses == {"//:scale@x86": "up to date"}


def test_hole_3_a_worker_that_dies_among_several_is_an_ordinary_failure(monorepo: Workspace) -> None:
    monorepo.edit("vision/sorter.py", "    network = Sorter()", "    import os; os.kill(os.getpid(), 9)")
    monorepo.edit("vision/detector/parts.py", "seed=2", "seed=3")
    outcome = monorepo.build("-n", "2", "-k")
    assert outcome.status == 1
    assert outcome.errors[0] == "//vision:sorter#tm: was ended by SIGKILL"
    assert outcome.statuses["//vision:sorter@kiosk"] == "failed"
    assert outcome.statuses["//vision/detector:parts@gateway"] == "built"


def test_hole_4_a_touched_file_is_read_once_more_and_not_again(small: Workspace) -> None:
    small.build()
    os.utime(small.root / "factor.txt")
    assert _reads(small, "factor.txt") == 1
    assert _reads(small, "factor.txt") == 0


def _reads(space: Workspace, name: str) -> int:
    """How often a build that looks at everything opens a file."""
    code = f"""
import sys
sys.addaudithook(lambda event, a: event == "open" and str(a[0]).endswith("/{name}") and print("opened"))
sys.argv = ["doit", "build", "--summary", "{space.cache}/summary.json"]
from megbuild.cli.__main__ import main
sys.exit(main())
"""
    environment = {**os.environ, "MEGBUILD_CACHE": str(space.cache)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=space.root, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines().count("opened")


@pytest.mark.parametrize("text", ["4\n", "4.5\n"])
def test_hole_5_a_file_changed_with_the_same_time_is_seen(small: Workspace, text: str) -> None:
    small.build()
    path = small.root / "factor.txt"
    seen = path.stat()
    path.write_text(text)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    outcome = small.doit("build", "--dry-run")
    assert outcome.told("would run") == {"//:scale#weights": "factor.txt changed"}


def test_hole_6_an_artifact_edited_by_hand_is_seen(small: Workspace) -> None:
    assert small.build().status == 0
    artifact = small.root / "out/scale/x86/scale.mge"
    content = artifact.read_bytes()
    seen = artifact.stat()
    artifact.write_bytes(content[:-1] + b"?")
    os.utime(artifact, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert small.build().restored == {"//:scale@x86": "out/scale/x86/scale.mge was edited by hand"}
    assert artifact.read_bytes() == content


def test_hole_7_changed_parameters_of_an_action_are_seen(small: Workspace) -> None:
    """The declared range of an input enters the request of every action, and nothing else of them changes."""
    small.edit("MODELS.toml", 'dtype = "float32" }', 'dtype = "float32", range = [0.0, 1.0] }')
    outcome = small.doit("build", "--dry-run")
    assert outcome.told("would run")["//:scale#tm"] == "the declaration of input 1 changed"


def test_hole_8_an_output_that_is_not_made_is_a_failure(small: Workspace) -> None:
    small.edit("scale.py", TRAIN, TRAIN + "    import os; os._exit(0)\n")
    for _ in range(2):
        outcome = small.build()
        assert outcome.status == 1
        assert outcome.errors[0].startswith(
            "//:scale#weights: MODELS.toml:4:1: the action ended well but did not make artifact/model.weights [MB403]"
        )


def test_hole_9_an_input_changed_while_its_action_ran_makes_it_stale(small: Workspace) -> None:
    """Not only files that the action reads: also what declares it."""
    small.edit("scale.py", TRAIN, TRAIN + PAUSE)
    running = small.start()
    small.until_log("weights", "asleep")
    small.edit("MODELS.toml", "[models.scale.outputs.x86]", "[models.scale.outputs.x86]\nverify = { max_abs = 0.5 }")
    small.wake()
    assert running.wait().lines[-1] == "note: changed while the build ran: MODELS.toml; build again"
    assert small.build().judged == {"//:scale@x86": "verify.max_abs unset -> 0.5"}
    assert small.build(summary=False).lines == UP_TO_DATE


def test_hole_9_a_package_added_while_the_build_ran(small: Workspace) -> None:
    small.edit("scale.py", TRAIN, TRAIN + PAUSE)
    running = small.start()
    small.until_log("weights", "asleep")
    small.write("more/MODELS.toml", small.read("MODELS.toml").replace("workspace = true\n", ""))
    for name in ("scale.py", "factor.txt"):
        small.write(f"more/{name}", small.read(name))
    (small.root / "more/samples").symlink_to("../samples")
    small.wake()
    assert running.wait().lines[-1] == "note: changed while the build ran: more; build again"
    assert small.build("--dry-run").told("would run").keys() == {"//more:scale#weights"}


def test_hole_10_a_missing_input_is_told_before_anything_runs(small: Workspace) -> None:
    small.edit("scale.py", "np.ones((1, 3)", "np.ones((1, 3, 1)")  # there would be something to run
    (small.root / "factor.txt").unlink()
    outcome = small.build()
    assert outcome.status != 0
    assert outcome.ran == {}
    assert re.match(r"MODELS.toml:6:12: .*factor.txt", outcome.errors[0])
