"""doit as the scheduler: what is asked to end ends at once, leaves nothing behind, and keeps what had finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

BUILD = """
import os, sys
from pathlib import Path
from megbuild import pipeline
from megbuild.cli.build import build_labels
from megbuild.declare import rules
from megbuild.execute import local
from megbuild.execute.toolchains import Installed
from megbuild.graph.code import Code

rules.builtin_rules_folder = lambda: Path(sys.argv[1])
pipeline.CODE = Code(sys.argv[2], ())
local.installed = lambda toolchain, cache: Installed(toolchain.name, "0", sys.executable, sys.prefix, {})
os.cpu_count = lambda: 2
sys.exit(build_labels([]))
"""

WORKER = """
import json, pathlib, subprocess, sys, time

request = json.load(open("request.json"))
outputs = [path for paths in request["outputs"].values() for path in paths]
if request["function"] == "build" and request["inputs"].get("tm"):  # a conversion: it hangs, with a child
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    pathlib.Path("out/hangs").write_text("with a child")
    time.sleep(100)
for path in outputs:
    if path == "out/results":
        path = "out/results/prob.npy"
    pathlib.Path(path).write_text("made")
"""


def alive(actions: Path) -> int:
    """How many processes see a folder of staged folders: zygotes, actions, and what these started."""
    seen = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            seen += str(actions) in (process / "mountinfo").read_text()
    return seen


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_while_two_actions_run(toy: Any, tmp_path: Path, ending: signal.Signals) -> None:
    (tmp_path / "worker/__main__.py").write_text(WORKER)
    command = [sys.executable, "-c", BUILD, str(tmp_path / "builtin"), str(tmp_path / "worker")]
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=toy.root, env={**os.environ, **path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as build:
        private = toy.root / ".megbuild"
        deadline = time.monotonic() + 60
        while (
            len(list(private.glob("actions/*/out/hangs"))) < 2 and time.monotonic() < deadline and build.poll() is None
        ):
            time.sleep(0.02)
        running = alive(private / "actions")
        build.send_signal(ending)
        out, err = build.communicate(timeout=60)  # they would run for 100 s
    assert running >= 4, out + err
    assert build.returncode == 130, err
    assert err == "interrupted: what had finished is kept\n"
    deadline = time.monotonic() + 30
    while alive(private / "actions") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(private / "actions")
    assert "done  //:net#tm" in out
    toy.build()  # in this process, with the toy's own way to make things
    assert "//:net#weights" not in toy.ran
    assert "//:net#tm" not in toy.ran
    assert {"//:net#mge", "//:net#onnx"} <= set(toy.ran)


def test_an_independent_action_still_runs_after_a_failure_when_asked(toy: Any, fails: Any) -> None:
    toy.work["//:net#onnx"] = fails  # the longer way: it goes first
    for keep_going in (False, True):
        rows = toy.build(keep_going=keep_going)
        assert rows["//:net@onnx"].status == "failed"
        assert rows["//:net@x86"].status == ("built" if keep_going else "not reached")


def test_several_failures_are_all_told(toy: Any, fails: Any) -> None:
    toy.work["//:net#mge"] = toy.work["//:net#onnx"] = fails
    for jobs in (1, 2):
        report = toy.report(keep_going=True, jobs=jobs)
        assert sorted(failure.action for failure in report.failed) == ["//:net#mge", "//:net#onnx"]


def test_only_stale_actions_become_tasks(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from megbuild.cli import schedule

    toy.build()
    made: list[str] = []
    real = schedule._task
    monkeypatch.setattr(schedule, "_task", lambda id, *rest: made.append(id) or real(id, *rest))
    (toy.root / "out/net/x86/net.mge").unlink()
    toy.build()
    assert made == ["//:net@x86"]


def test_memory_that_an_action_took_is_learned_and_never_given_twice(toy: Any, gate: Any) -> None:
    toy.memory = 60_000_000
    toy.build(jobs=2)
    toy.salt = "other"
    toy.write({"net.py": "def build(weights): return 2\n"})
    toy.free = 100_000_000  # two of 60 MB do not fit, though there are cores
    running: list[str] = []
    together: list[int] = []

    def alone(action: Any, folder: Path) -> None:
        running.append(action.id)
        together.append(len(running))
        time.sleep(0.02)
        toy.usual(action, folder)
        running.remove(action.id)

    toy.work.default_factory = lambda: alone
    toy.work.clear()
    toy.build(jobs=4)
    assert len(together) > 5
    assert max(together) == 1


def test_the_longest_way_goes_first(toy: Any) -> None:
    def slowly(action: Any, folder: Path) -> None:
        time.sleep(1.0)
        toy.usual(action, folder)

    toy.work["//:net#npu-b"] = slowly  # onnx -> npu is the long way, mge the short one
    toy.build(jobs=1)
    toy.write({"net.py": "def build(weights): return 2\n"})
    toy.build(jobs=1)
    assert toy.ran.index("//:net#onnx") < toy.ran.index("//:net#mge")
    assert toy.ran.index("//:net#npu-b") < toy.ran.index("//:net#mge")
