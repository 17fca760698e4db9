"""Zygotes and actions that are stopped or hang: they would neither answer nor end, and nothing would be said until the time limit."""

from __future__ import annotations

import os
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from megbuild.declare.limits import Limits
from megbuild.errors import MegbuildError
from megbuild.execute import hearing, zygote
from megbuild.execute.box.zygote import _Zygote
from tests.faults.moments import until

from .conftest import Boxes, boxes
from .test_box import processes_of

WAITS = "import time; print('here', flush=True); time.sleep(600)"


def zygote_of(box: Boxes, besides: set[int]) -> int:
    """The zygote whose action has begun to print, when it is none of those known."""
    alive = list(box.runner.zygotes._alive.values())
    logs = [log for log in box.runner.folder.glob("logs/a+m@x.log") if log.read_text()]
    return alive[0].process if alive and logs and alive[0].process not in besides else 0


def hit(box: Boxes, known: set[int], number: signal.Signals) -> None:
    """Signal the zygote whose action has begun to print, and take it down as known."""
    found: list[int] = []
    until(lambda: found.append(zygote_of(box, known)) or found[-1] > 0, "no action began")  # type: ignore[func-returns-value]
    known.add(found[-1])
    os.kill(found[-1], number)


def test_a_stopped_zygote_is_started_again(box: Boxes) -> None:
    box.says("")
    first = next(iter(box.runner.zygotes._alive.values())).process
    assert first  # 0 would be the tests' own processes
    begun = time.monotonic()
    os.kill(first, signal.SIGSTOP)
    assert box.says("print('again')") == "again"
    assert time.monotonic() - begun < 40
    assert not Path(f"/proc/{first}").exists()


def test_one_that_is_stopped_every_time_is_an_error_and_no_result(box: Boxes) -> None:
    """In the middle of the action, both times."""
    box.says("")
    known: set[int] = set()

    def stop_both() -> None:
        for _ in range(2):
            hit(box, known, signal.SIGSTOP)

    thread = threading.Thread(target=stop_both)
    begun = time.monotonic()
    thread.start()
    with pytest.raises(MegbuildError, match=r"the zygote was stopped by a signal \[MB406\]"):
        box.run(WAITS)
    thread.join()
    assert time.monotonic() - begun < 60
    assert len(known) == 2 and not any(Path(f"/proc/{process}").exists() for process in known)


def test_one_that_is_stopped_while_it_starts(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has said anything: it is not waited for as long as an SDK's import may take."""
    original = zygote.Zygote._ready

    def ready(self: zygote.Zygote, ours: object) -> bool:
        while not (process := self.process):
            time.sleep(0.001)
        os.kill(process, signal.SIGSTOP)
        return original(self, ours)  # type: ignore[arg-type]

    monkeypatch.setattr(zygote.Zygote, "_ready", ready)
    begun = time.monotonic()
    with pytest.raises(MegbuildError, match=r"did not start.*MB406"):
        box.says("")
    assert time.monotonic() - begun < 60


def test_a_stopped_launcher_hinders_nothing(box: Boxes) -> None:
    box.says("")
    launcher = processes_of(box)[0]
    os.kill(launcher, signal.SIGSTOP)
    assert box.says("print('goes on')") == "goes on"
    begun = time.monotonic()
    box.runner.stop()
    assert time.monotonic() - begun < 15  # 20 s later it is killed
    assert not Path(f"/proc/{launcher}").exists()


def test_an_action_that_stops_itself(box: Boxes) -> None:
    box.says("")
    box.limits = Limits(seconds=60)
    begun = time.monotonic()
    failure = box.fails("import os, signal; print('here', flush=True); os.kill(os.getpid(), signal.SIGSTOP)")
    assert (failure.message, failure.tail) == ("was stopped by a signal, and nobody can continue it", ("here",))
    assert time.monotonic() - begun < 40
    assert box.says("print('the next one runs')") == "the next one runs"


def test_an_action_that_is_continued_goes_on(box: Boxes) -> None:
    """By its own child, as a shell's job control would."""
    said = box.says("""
        import os, signal, time
        me = os.getpid()
        if not os.fork():
            while open(f'/proc/{me}/stat').read().rpartition(')')[2].split()[0] != 'T':
                time.sleep(0.01)
            os.kill(me, signal.SIGCONT)
            os._exit(0)
        os.kill(me, signal.SIGSTOP)
        os.wait()
        time.sleep(2.5)
        print("continued")
    """)
    assert said == "continued"


HANGS = """
    import signal, time

    def spin(*_):
        while True:
            pass

    signal.signal(signal.SIGUSR1, spin)
    signal.signal(signal.SIGUSR2, lambda *_: time.sleep(1000))
"""
HOW = {"spins": signal.SIGUSR1, "waits for ever": signal.SIGUSR2}


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boxes]:
    """Boxes whose zygotes hang when they are told to, and are waited for as little as a test can."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/hangs.py").write_text(textwrap.dedent(HANGS))
    box = boxes(tmp_path, monkeypatch, ["json", "hangs"])
    box.runner.shown = (str(tmp_path / "modules"),)
    box.environment = {"PYTHONPATH": str(tmp_path / "modules")}
    monkeypatch.setattr(hearing, "PATIENCE", 3.0)
    monkeypatch.setattr(hearing, "EVERY", 0.2)
    yield box
    box.runner.stop()


@pytest.mark.parametrize("how", HOW)
def test_a_zygote_that_hangs_before_an_action_is_started_again(hanging: Boxes, how: str) -> None:
    hanging.says("")
    first = next(iter(hanging.runner.zygotes._alive.values()))
    assert not first.box.cold
    process = first.process
    assert process
    os.kill(process, HOW[how])
    begun = time.monotonic()
    assert hanging.says("print('again')") == "again"
    assert 3 < time.monotonic() - begun < 40
    assert not Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("how", HOW)
def test_a_zygote_that_hangs_during_an_action_every_time_is_an_error(hanging: Boxes, how: str) -> None:
    """Its action ends well, and nobody says so."""
    hanging.says("")
    known: set[int] = set()

    def hang_both() -> None:
        for _ in range(2):
            hit(hanging, known, HOW[how])

    thread = threading.Thread(target=hang_both)
    begun = time.monotonic()
    thread.start()
    with pytest.raises(MegbuildError, match=r"the zygote did not answer for \d+ s \[MB406\]"):
        hanging.run("import time; print('here', flush=True); time.sleep(2); open('out/answer.txt', 'w')")
    thread.join()
    assert time.monotonic() - begun < 60
    assert len(known) == 2 and not any(Path(f"/proc/{process}").exists() for process in known)


def test_a_zygote_that_hangs_when_a_limit_is_hit(hanging: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody ends the action then; it is not waited for."""
    monkeypatch.setattr(zygote, "PATIENCE", 1.0)
    hanging.says("")
    hanging.limits = Limits(seconds=1)
    known: set[int] = set()

    def hang_once() -> None:
        hit(hanging, known, signal.SIGUSR1)

    thread = threading.Thread(target=hang_once)
    thread.start()
    assert hanging.fails(WAITS).message == "ran out of time (1 s)"  # by the zygote after it
    thread.join()


def test_a_long_action_is_asked_for_often_and_goes_on(hanging: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    original = hearing.Hearing.lost

    def lost(self: hearing.Hearing) -> bool:
        asked.append(original(self))
        return asked[-1]

    monkeypatch.setattr(hearing.Hearing, "lost", lost)
    monkeypatch.setattr(hearing, "PATIENCE", 2.0)  # longer than any reply takes, shorter than the action
    assert hanging.says("import time; time.sleep(5); print('long')") == "long"
    assert len(asked) > 5 and not any(asked)


def test_questions_that_cross_the_answer_lose_none() -> None:
    """The kernel says first that a question was not read, as an error."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    turn, _ = socket.socketpair()
    heard = hearing.Hearing(ours, turn, lambda: None, 0)
    assert not heard.lost()
    theirs.send(b'{"status": 0}')
    theirs.close()
    assert heard.answered(0.1)
    assert heard.take(100) == b'{"status": 0}'
    assert (heard.answered(0.1), heard.take(100)) == (True, b"")


@pytest.mark.parametrize(
    ("state", "used", "lost"), [("S", 0.0, True), ("R", 2.0, True), ("R", 0.1, False), ("D", 0.0, False)]
)
def test_a_machine_that_is_slow_is_no_zygote_that_hangs(
    monkeypatch: pytest.MonkeyPatch, state: str, used: float, lost: bool
) -> None:
    """What waits for the disk, or runs and gets no processor, is waited for."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    told = iter([("S", 0.0)])
    monkeypatch.setattr(hearing, "state_of", lambda process: next(told, (state, used)))
    monkeypatch.setattr(hearing, "PATIENCE", -1.0)
    heard = hearing.Hearing(ours, ours, lambda: None, 1)
    assert [heard.lost() for _ in range(6)][-1] is lost
    theirs.close()


def test_an_action_that_has_just_ended_is_not_looked_at_as_a_stopped_one() -> None:
    """The kernel says that there is no such child, which ended the zygote, and with it all other actions."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    zygote = _Zygote.__new__(_Zygote)
    zygote.running = {0: SimpleNamespace(process=child, stopped=0)}  # type: ignore[dict-item]
    zygote._end_stopped()
    os.waitpid(child, 0)
