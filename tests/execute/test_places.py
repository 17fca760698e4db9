"""An action is prepared before there is a place for it, and its place is free as soon as it computes no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from megbuild.execute.builder import Ran
from megbuild.execute.failure import ActionFailed
from megbuild.execute.turns import Places
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.fingerprint import fingerprint
from megbuild.store.digests import digest_bytes

from .conftest import Boxes, boxes

WRITES = "open('out/answer.txt', 'w').write('done')\n"


@pytest.fixture(params=[["json"], []], ids=["warm", "fresh"])
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Boxes]:
    made = boxes(tmp_path, monkeypatch, request.param)
    yield made
    made.runner.stop()


class Running(threading.Thread):
    """An action that runs beside the test."""

    def __init__(self, box: Boxes, name: str, code: str, places: Places) -> None:
        super().__init__()
        text = code.encode()
        arguments = ("python", "-B", "-s", "code/main.py")
        leaf = Leaf("code/main.py", digest_bytes(text), "main.py", content=text)
        self.action = Action(f"//a:m#{name}", "x", "", "//a:m", "toy", (leaf,), ("answer.txt",), arguments)
        self.box, self.places = box, places
        self.folder = box.runner.folder / f"actions/a+m@{name}"
        self.ran: Ran | None = None
        self.start()

    def run(self) -> None:
        with suppress(ActionFailed):
            self.ran = self.box.runner.run(self.action, fingerprint(self.action, None, {}), self.places)

    def well(self) -> Ran:
        """The result, soon."""
        self.join(60)
        assert self.ran, "it does not end"
        return self.ran


def until(there: Path) -> None:
    deadline = time.monotonic() + 60
    while not there.exists():
        assert time.monotonic() < deadline, f"{there} does not appear"
        time.sleep(0.01)


def processes(box: Boxes) -> int:
    """How many processes the zygote has started that are still there."""
    zygotes = [zygote.process for zygote in box.runner.zygotes._alive.values()]
    return sum(len(Path(f"/proc/{one}/task/{one}/children").read_text().split()) for one in zygotes if one)


def test_an_action_without_a_place_is_there_and_runs_nothing(box: Boxes) -> None:
    places = Places(1)
    with places.one():
        running = Running(box, "x", WRITES, places)
        until(running.folder / "out")
        deadline = time.monotonic() + 60
        while processes(box) < 2:  # the action, and what holds its process namespace
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        assert running.is_alive()
        assert list((running.folder / "out").iterdir()) == []
    ran = running.well()
    assert box.runner.content.read(ran.outputs["answer.txt"]) == b"done"
    assert ran.waited > 0.2


def test_a_place_is_free_before_the_process_has_gone(box: Boxes) -> None:
    places = Places(1)
    waits = "import os, time\nopen('out/answer.txt', 'w').close()\nos.close(3)\nwhile not os.path.exists('tmp/go'): time.sleep(0.01)\n"
    first = Running(box, "first", waits, places)
    until(first.folder / "out/answer.txt")
    assert Running(box, "second", WRITES, places).well().waited < 60
    assert first.is_alive()
    (first.folder / "tmp/go").touch()
    first.well()


def test_an_action_that_ends_at_once_or_is_killed_gives_its_place_back(box: Boxes) -> None:
    places = Places(1)
    for number in range(3):
        Running(box, f"x{number}", WRITES, places).well()
    killed = Running(box, "killed", "import os; os.kill(os.getpid(), 9)", places)
    killed.join(60)
    assert killed.ran is None
    Running(box, "after", WRITES, places).well()


def test_a_build_that_stops_does_not_wait_for_places(box: Boxes) -> None:
    places = Places(1)
    with places.one():
        running = Running(box, "x", WRITES, places)
        until(running.folder / "out")
        box.runner.stop()
    running.join(60)
    assert not running.is_alive()
    assert running.ran is None
