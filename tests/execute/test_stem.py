"""Actions that are forked from a stem: the same in every respect as those that are not, and never of other code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from megbuild.execute import hearing, local, worker_code
from megbuild.execute.failure import ActionFailed
from megbuild.execute.worker_code import code_of
from megbuild.execute.zygote import WorkerCode, Zygote
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.fingerprint import fingerprint
from megbuild.store.digests import digest_bytes
from megbuild.worker import load, ready
from tests.faults.moments import until

from .conftest import Boxes, boxes

MAIN = """
import sys
sys.path[0] = "/work/code"
import megbuild_worker
del sys.path[0]
from megbuild_worker import ready
_, rule = ready.ready("/work", "code/rules/toy/worker.py", "build")
exec(open("in/what.py").read(), {"rule": rule})
open("out/answer.txt", "w").close()
"""
ONE = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy starts threads otherwise, and nothing is forked from a process with threads."""
RULE = "import os, random, numpy, toy\nos.environ['SET'] = 'by the import'\nDRAWN = [random.random(), numpy.random.random()]\nVALUE = toy.VALUE\n"
STATE = """
import gc, json, numpy, os, random, signal, sys, threading
def told(path, *words):
    return [line for line in open(path).read().splitlines() if not words or line.split(":")[0] in words]
print(json.dumps({
    "random": [rule.DRAWN, random.random(), numpy.random.random()], "value": rule.VALUE, "modules": sorted(sys.modules), "path": sys.path, "argv": sys.argv,
    "environment": dict(os.environ), "folder": os.getcwd(), "umask": os.umask(0), "descriptors": sorted(os.listdir("/proc/self/fd")),
    "rights": told("/proc/self/status", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "SigIgn", "SigCgt", "SigBlk", "Threads"),
    "limits": told("/proc/self/limits"), "process": [os.getpid() > 1, sorted(p for p in os.listdir("/proc") if p.isdigit() and p != str(os.getpid()))],
    "mounts": sorted(line.split()[4] + " " + line.split()[5] for line in told("/proc/self/mountinfo")),
    "see": [sorted(os.listdir(place)) for place in ("/", "/work", "/work/code", "/work/home", "/work/tmp", "/tmp", "/dev/shm")],
    "names": [os.readlink("/proc/self/ns/" + kind).split(":")[0] for kind in ("net", "ipc", "mnt", "pid")],
    "gc": [gc.isenabled(), gc.get_threshold()], "threads": threading.active_count(), "session": os.getsid(0) == os.getpid(),
}, indent=1))
"""


class Stems:
    """Runs actions of a toy rule whose code lies in a folder, as megbuild's own."""

    def __init__(self, box: Boxes, code: Path) -> None:
        self.box, self.code, self.count = box, code, 0
        for name, text in {
            "megbuild_worker/__init__.py": "",
            "megbuild_worker/__main__.py": MAIN,
            "megbuild_worker/make.py": "",
            "megbuild_worker/load.py": Path(load.__file__).read_text(),
            "megbuild_worker/ready.py": Path(ready.__file__).read_text(),
            "rules/toy/worker.py": RULE,
            "toolchains/toy/toy.py": "VALUE = 1\n",
        }.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def action(self, what: str, **staged: str) -> Action:
        self.count += 1
        request = json.dumps({"worker": "code/rules/toy/worker.py", "function": "build"}).encode()
        leaves = [Leaf("request.json", digest_bytes(request), "request", content=request, kind="request")]
        for path in sorted(self.code.rglob("*.py")):
            name = f"code/{path.relative_to(self.code)}"
            leaves.append(Leaf(name, digest_bytes(path.read_bytes()), name, origin=str(path), kind="code"))
        for name, text in {"in/what.py": what, **{k.replace("__", "/"): v for k, v in staged.items()}}.items():
            leaves.append(Leaf(name, digest_bytes(text.encode()), name, content=text.encode()))
        arguments = ("python", "-B", "-s", "code/megbuild_worker/__main__.py", "request.json")
        return Action(
            f"//a:m{self.count}#x", "x", "", "//a:m", "toy", tuple(leaves), ("answer.txt",), arguments, environment=ONE
        )

    def says(self, what: str, **staged: str) -> str:
        """What an action prints that runs this, with the toy rule imported as ``rule``."""
        action = self.action(what, **staged)
        ran = self.box.runner.run(action, fingerprint(action, None, {}))
        assert ran.log
        return self.box.runner.content.read(ran.log).decode().strip()

    def fails(self, what: str) -> ActionFailed:
        with pytest.raises(ActionFailed) as error:
            self.says(what)
        return error.value

    @property
    def zygote(self) -> Zygote:
        (alive,) = self.box.runner.zygotes._alive.values()
        return alive

    def grow(self) -> None:
        """Run actions until one has come from a stem."""
        before, deadline = self.zygote.grown if self.box.runner.zygotes._alive else 0, time.monotonic() + 60
        while not self.box.runner.zygotes._alive or self.zygote.grown == before:
            assert time.monotonic() < deadline, self.zygote.log.read_text()
            self.says("")

    def never_grows(self) -> None:
        """The import fails in a stem: actions are forked from the zygote as ever."""
        for _ in range(4):
            assert self.says("print('well')").endswith("well")
            time.sleep(0.1)
        assert self.zygote.grown == 0


@pytest.fixture
def stems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stems]:
    monkeypatch.setattr(worker_code, "OWN", (f"{tmp_path / 'own'}/",))
    box = boxes(tmp_path, monkeypatch, ["json", "decimal", "numpy"])
    yield Stems(box, tmp_path / "own")
    box.runner.stop()


def test_an_action_from_a_stem_finds_all_as_one_from_the_zygote(stems: Stems) -> None:
    plain = json.loads(stems.says(STATE))
    assert stems.zygote.grown == 0
    stems.grow()
    before = stems.zygote.grown
    assert json.loads(stems.says(STATE)) == plain
    assert stems.zygote.grown == before + 1
    assert plain["environment"]["SET"] == "by the import"
    assert plain["rights"][2].split() == ["CapEff:", "0" * 16] or "CapEff:\t" + "0" * 16 in plain["rights"]


def test_changed_code_is_never_served_from_a_stem_of_other_code(stems: Stems) -> None:
    stems.grow()
    for value in (2, 3, 1):
        stems.write("toolchains/toy/toy.py", f"VALUE = {value}\n")
        assert stems.says("print(rule.VALUE)") == str(value)
        stems.grow()
        assert stems.says("print(rule.VALUE)") == str(value)


def test_a_file_that_is_not_what_the_action_declares_grows_no_stem(
    stems: Stems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zygote reads each file of the code and compares it with its digest."""

    def other(action: Action) -> WorkerCode:
        code = code_of(action)
        return replace(code, files={**code.files, "code/toolchains/toy/toy.py": "0" * 64})

    monkeypatch.setattr(local, "code_of", other)
    stems.never_grows()


def test_code_of_a_workspace_grows_no_stem(stems: Stems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_code, "OWN", ("/elsewhere/",))
    stems.never_grows()


@pytest.mark.parametrize(
    "trouble",
    [
        "raise ValueError", "os.abort()", "os.kill(os.getpid(), 11)", "os._exit(0)", "time.sleep(1000)", "sys.exit(3)",
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", "subprocess.Popen(['sleep', '1000'])",
        "open('/work/request.json')", "open('/work/tmp/x', 'w')", "os.listdir('/megbuild/actions')",
    ],
)  # fmt: skip
def test_an_import_that_goes_wrong_in_a_stem_only(stems: Stems, trouble: str) -> None:
    """Only in a stem: no request lies beside the code there."""
    lines = (
        f"import os, subprocess, sys, threading, time\nif not os.path.exists('/work/request.json'):\n    {trouble}\n"
    )
    stems.write("rules/toy/worker.py", lines + RULE)
    stems.says("")
    process = stems.zygote._process
    stems.never_grows()
    assert stems.zygote._process is process


@pytest.mark.parametrize(
    ("trouble", "said"), [("os.abort()", "SIGABRT"), ("os.kill(os.getpid(), 11)", "SIGSEGV"), ("1 / 0", "status 1")]
)
def test_an_import_that_always_goes_wrong_is_the_actions_failure(stems: Stems, trouble: str, said: str) -> None:
    stems.write("rules/toy/worker.py", f"import os\n{trouble}\n")
    for _ in range(4):
        assert said in stems.fails("").message
        time.sleep(0.05)
    stems.write("rules/toy/worker.py", RULE)
    assert stems.says("print('well')") == "well"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("raise SystemExit(4)", "status 4"),
    ],
)
def test_an_action_from_a_stem_fails_by_itself(stems: Stems, what: str, said: str) -> None:
    stems.grow()
    process, before = stems.zygote._process, stems.zygote.grown
    assert said in stems.fails(what).message
    assert stems.says("print('well')") == "well"
    assert (stems.zygote._process, stems.zygote.grown) == (process, before + 2)


def test_a_hang_of_an_action_from_a_stem_ends_in_time(stems: Stems, monkeypatch: pytest.MonkeyPatch) -> None:
    stems.grow()
    monkeypatch.setattr(local, "TIME_LIMIT", 0.5)
    assert (
        "ran out of time"
        in stems.fails("import subprocess, time; subprocess.Popen(['sleep', '99']); time.sleep(99)").message
    )
    monkeypatch.setattr(local, "TIME_LIMIT", 60.0)
    assert stems.says("print('well')") == "well"


def test_what_an_action_changes_in_memory_stays_with_it(stems: Stems) -> None:
    stems.grow()
    stems.says("rule.VALUE = 'spoilt'; import toy; toy.VALUE = 'spoilt'")
    assert stems.says("import toy; print(rule.VALUE, toy.VALUE)") == "1 1"


def test_training_code_with_a_module_of_the_same_name(stems: Stems) -> None:
    """In a new process its own would be found first, wherever the rule imports it later."""
    stems.grow()
    before = stems.zygote.grown
    assert stems.says("print(rule.VALUE)", **{"in__source__toy.py": "VALUE = 'own'\n"}) == "1"
    assert stems.zygote.grown == before


def test_a_stem_that_is_killed_costs_nothing(stems: Stems) -> None:
    stems.grow()
    launcher, zygote = _processes(stems)
    for stem in _below(zygote):
        os.kill(stem, signal.SIGKILL)
        until(lambda stem=stem: not Path(f"/proc/{stem}").exists(), "the zygote did not notice")
    before = stems.zygote.grown
    assert stems.says("print('well')") == "well"
    assert (stems.zygote._process, stems.zygote.grown) == (launcher, before)


def test_a_stem_that_hangs_is_noticed(stems: Stems, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its zygote is well, and ends with it."""
    monkeypatch.setattr(hearing, "PATIENCE", 2.0)
    spins = "import signal\ndef spin(*_):\n    while True: pass\nsignal.signal(signal.SIGUSR1, spin)\n"
    stems.write("rules/toy/worker.py", spins + RULE)
    stems.grow()
    launcher, zygote = _processes(stems)
    for stem in _below(zygote):
        os.kill(stem, signal.SIGUSR1)
    assert stems.says("print('well')") == "well"
    assert stems.zygote._process is not launcher
    assert not Path(f"/proc/{zygote}").exists()


def test_stems_end_with_their_zygote(stems: Stems) -> None:
    stems.grow()
    assert stems.zygote._process
    (zygote,) = _below(stems.zygote._process.pid)
    alive = _below(zygote)
    assert alive
    stems.box.runner.stop()
    assert not [process for process in alive if Path(f"/proc/{process}").exists()]


def _processes(stems: Stems) -> tuple[subprocess.Popen[bytes], int]:
    """The launcher, and the zygote that it started."""
    launcher = stems.zygote._process
    assert launcher
    (zygote,) = _below(launcher.pid)
    return launcher, zygote


def _below(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
