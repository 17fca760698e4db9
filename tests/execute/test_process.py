"""Processes of actions: they end, with their children, in time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from megbuild.execute.process import Ending, Processes

FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
"""


def run(folder: Path, code: str, seconds: float = 20, processes: Processes | None = None) -> Ending:
    return (processes or Processes()).run(
        [sys.executable, "-c", code], folder, {"ONLY": "this"}, folder / "log", seconds
    )


def alive(pid: int) -> bool:
    """Also after it was killed, until its parent has taken note: a zombie is not alive."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def all_end(folder: Path) -> bool:
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, pids))


def test_environment_folder_and_log(tmp_path: Path) -> None:
    code = "import os, sys; print(sorted(os.environ), os.getcwd(), sys.stdin.read()); print('err', file=sys.stderr); sys.exit(3)"
    assert str(run(tmp_path, code)) == "exited with status 3"
    log = (tmp_path / "log").read_text()
    assert "'ONLY'" in log
    assert "HOME" not in log
    assert str(tmp_path) in log
    assert "err" in log


def test_children_end_with_it(tmp_path: Path) -> None:
    assert run(tmp_path, FAMILY).status == 0
    assert all_end(tmp_path)


def test_time_runs_out(tmp_path: Path) -> None:
    begun = time.monotonic()
    ending = run(tmp_path, FAMILY + "time.sleep(60)", 0.5)
    assert ending.timed_out
    assert str(ending) == "ran out of time"
    assert time.monotonic() - begun < 5
    assert all_end(tmp_path)


def test_stop_ends_what_runs_and_starts_no_more(tmp_path: Path) -> None:
    processes, endings = Processes(), []
    thread = threading.Thread(
        target=lambda: endings.append(run(tmp_path, FAMILY + "time.sleep(60)", processes=processes))
    )
    thread.start()
    while not (tmp_path / "pids").exists():
        time.sleep(0.01)
    processes.stop()
    thread.join(5)
    assert str(endings[0]) == "was ended by SIGKILL"
    assert all_end(tmp_path)
    assert str(run(tmp_path, "open('started', 'w')", processes=processes)) == "was ended by SIGINT"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(("number", "said"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGRTMIN + 3, "signal 37")])
def test_signals_have_names(tmp_path: Path, number: int, said: str) -> None:
    assert str(run(tmp_path, f"import os; os.kill(os.getpid(), {int(number)})")) == f"was ended by {said}"


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        run(tmp_path, f"import os; print(os.path.exists('/proc/self/fd/{secret}'))")
    finally:
        os.close(secret)
    assert (tmp_path / "log").read_text() == "False\n"
