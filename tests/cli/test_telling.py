"""What a user reads: progress, the table, and errors instead of tracebacks."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from megbuild.cli import progress, table
from megbuild.cli.guard import INTERRUPTED, guarded
from megbuild.errors import FAILED, USAGE, MegbuildError, Problem, fail
from megbuild.execute.report import Row
from megbuild.graph.reasons import Reason

ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def test_plain_lines(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy.listen = progress.Lines
    toy.build("//:net@onnx")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run   //:net#weights  (never built)"
    assert lines[1].startswith("done  //:net#weights  0.")
    assert lines[-1] == "judge //:net@onnx  (never built)"
    (toy.root / "out/net/onnx/net.onnx").unlink()
    toy.build("//:net@onnx")
    assert capsys.readouterr().out == "store //:net@onnx  (out/net/onnx/net.onnx was deleted)\n"


def test_many_reasons_are_counted() -> None:
    assert (
        progress.told(tuple(Reason(f"file:{n}", "1", "2") for n in range(5)))
        == "0 changed; 1 changed; 2 changed; and 2 more"
    )
    assert progress.told(()) == ""


ROWS = [
    Row(
        "//a:m@x",
        "built",
        "out/a/m/x/m.mge",
        "0",
        1_234_567,
        "Lite 1",
        "pass",
        4,
        0.9876,
        {"cosine": 0.99999, "top1": 1.0},
        seconds=1.26,
    ),
    Row("//a:m@y", "refused", reason="no [such] operator"),
    Row("//a:m@z", "up to date", size=999, verdict="not run"),
]


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(ROWS, 2.345)
    out = capsys.readouterr().out
    first = next(line for line in out.splitlines() if line.startswith("//a:m@x"))
    assert first.split() == [
        "//a:m@x",
        "out/a/m/x/m.mge",
        "1.23",
        "MB",
        "Lite",
        "1",
        "pass,",
        "cosine",
        "0.99999,",
        "top1",
        "1,",
        "4",
        "samples",
        "98.76",
        "%",
        "built",
        "1.3",
        "s",
    ]
    assert out.splitlines()[-1] == "3 outputs: 1 built, 1 refused, 1 up to date; 2.3 s"
    assert len(next(line for line in out.splitlines() if line.startswith("//a:m@y")).split()) == 4


def test_the_table_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut and no cell is folded: what does not fit stands on a line of its own."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    table.show(ROWS, 2.345)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "//a:m@x  built       pass     98.76 %  1.23 MB  1.3 s",
        "    out/a/m/x/m.mge, Lite 1, cosine 0.99999, top1 1, 4 samples",
        "//a:m@y  refused                                0.0 s",
        "//a:m@z  up to date  not run            1.0 kB  0.0 s",
        "3 outputs: 1 built, 1 refused, 1 up to date; 2.3 s",
    ]


@pytest.mark.parametrize(
    ("count", "said"), [(0, ""), (1, "0.0 kB"), (999, "1.0 kB"), (123_456, "123.5 kB"), (1_000_000, "1.00 MB")]
)
def test_sizes(count: int, said: str) -> None:
    assert table.size(count) == said


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (fail("MB1", "wrong", "mend it"), USAGE, "wrong [MB1]\n  hint: mend it\n"),
        (MegbuildError((Problem("MB1", "a"), Problem("MB2", "b")), FAILED), FAILED, "a [MB1]\nb [MB2]\n"),
        (KeyboardInterrupt(), INTERRUPTED, "interrupted: what had finished is kept\n"),
    ],
)
def test_errors_are_told_in_lines(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert guarded(work) == status
    assert capsys.readouterr().err == said


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals are heard as before after the test, also where it was asked to end."""
    before = {number: signal.getsignal(number) for number in ASKED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", ASKED)
def test_being_asked_to_end_is_an_interruption(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    signal.signal(number, signal.SIG_DFL)
    assert guarded(lambda: signal.raise_signal(number) or 0) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted: what had finished is kept\n"


@pytest.mark.usefixtures("handlers")
def test_nobody_is_asked_to_end_afterwards() -> None:
    before = [signal.getsignal(number) for number in ASKED]
    assert guarded(lambda: 0) == 0
    assert [signal.getsignal(number) for number in ASKED] == before


TWICE = """
import signal, sys, time
from megbuild.cli.guard import guarded

def work():
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGTERM)
        print("went on", flush=True)
        time.sleep(60)

sys.exit(guarded(work))
"""


def test_who_asks_twice_is_not_kept_waiting() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (INTERRUPTED, "")
    assert done.stderr == "interrupted again: the next build clears away what is left\n"


def test_an_error_that_an_interruption_causes_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")

    assert guarded(work) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted: what had finished is kept\n"


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert guarded(lambda: signal.raise_signal(signal.SIGHUP) or 0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
