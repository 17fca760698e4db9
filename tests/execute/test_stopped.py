"""Zygotes and actions that are stopped: they would neither answer nor end, and nothing would be said until the time limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from megbuild.declare.limits import Limits
from megbuild.errors import MegbuildError
from megbuild.execute import zygote

from .conftest import Boxes
from .test_box import processes_of

WAITS = "import time; print('here', flush=True); time.sleep(60)"


def zygote_of(box: Boxes, besides: set[int]) -> int:
    """The zygote whose action has begun to print, when it is none of those known."""
    alive = list(box.runner.zygotes._alive.values())
    logs = [log for log in box.runner.folder.glob("logs/a+m@x.log") if log.read_text()]
    return alive[0].process if alive and logs and alive[0].process not in besides else 0


def test_a_stopped_zygote_is_started_again(box: Boxes) -> None:
    box.says("")
    first = zygote_of(box, set()) or next(iter(box.runner.zygotes._alive.values())).process
    begun = time.monotonic()
    os.kill(first, signal.SIGSTOP)
    assert box.says("print('again')") == "again"
    assert time.monotonic() - begun < 20
    assert not Path(f"/proc/{first}").exists()


def test_one_that_is_stopped_every_time_is_an_error_and_no_result(box: Boxes) -> None:
    """In the middle of the action, both times."""
    box.says("")
    known: set[int] = set()

    def stop_both() -> None:
        for _ in range(2):
            deadline = time.monotonic() + 20
            while not (process := zygote_of(box, known)) and time.monotonic() < deadline:
                time.sleep(0.02)
            known.add(process)
            os.kill(process, signal.SIGSTOP)

    thread = threading.Thread(target=stop_both)
    begun = time.monotonic()
    thread.start()
    with pytest.raises(MegbuildError, match=r"the zygote was stopped by a signal \[MB406\]"):
        box.run(WAITS)
    thread.join()
    assert time.monotonic() - begun < 25
    assert len(known) == 2 and not any(Path(f"/proc/{process}").exists() for process in known)


def test_one_that_is_stopped_while_it_starts(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has said anything: it is not waited for as long as an SDK's import may take."""
    original = zygote.Zygote._ready

    def ready(self: zygote.Zygote, ours: object) -> bool:
        while not self.process:
            time.sleep(0.001)
        os.kill(self.process, signal.SIGSTOP)
        return original(self, ours)  # type: ignore[arg-type]

    monkeypatch.setattr(zygote.Zygote, "_ready", ready)
    begun = time.monotonic()
    with pytest.raises(MegbuildError, match=r"did not start.*MB406"):
        box.says("")
    assert time.monotonic() - begun < 25


def test_a_stopped_launcher_hinders_nothing(box: Boxes) -> None:
    box.says("")
    launcher = processes_of(box)[0]
    os.kill(launcher, signal.SIGSTOP)
    assert box.says("print('goes on')") == "goes on"
    begun = time.monotonic()
    box.runner.stop()
    assert time.monotonic() - begun < 5
    assert not Path(f"/proc/{launcher}").exists()


def test_an_action_that_stops_itself(box: Boxes) -> None:
    box.says("")
    box.limits = Limits(seconds=60)
    begun = time.monotonic()
    failure = box.fails("import os, signal; print('here', flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
    assert (failure.message, failure.tail) == ("was stopped by a signal, and nobody can continue it", ("here",))
    assert time.monotonic() - begun < 15
    assert box.says("print('the next one runs')") == "the next one runs"


def test_an_action_that_is_continued_goes_on(box: Boxes) -> None:
    """By its own child, as a shell's job control would."""
    said = box.says("""
        import os, signal, time
        me = os.getpid()
        if not os.fork():
            time.sleep(0.3)
            os.kill(me, signal.SIGCONT)
            os._exit(0)
        os.kill(me, signal.SIGSTOP)
        os.wait()
        time.sleep(2.5)
        print("continued")
    """)
    assert said == "continued"
