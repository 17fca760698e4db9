"""The environments of a build: installed side by side, and looked at while their zygotes start."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from megbuild.declare.models import Toolchain
from megbuild.execute import environments
from megbuild.execute.environments import Environments
from megbuild.execute.local import Local
from megbuild.execute.toolchains import Installed
from megbuild.execute.zygotes import Zygotes
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.fingerprint import fingerprint
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_bytes

TOY, OTHER = Toolchain("toy", "0", "3.11", "/"), Toolchain("other", "1", "3.11", "/")
CODE = b"open('out/answer.txt', 'w').write('x')"


def here(toolchain: Toolchain) -> Installed:
    return Installed(toolchain.name, toolchain.digest, sys.executable, sys.prefix, {})


def action(id: str = "//a/b:m#x", toolchain: str = "toy") -> Action:
    source = Leaf("in/source/net.py", digest_bytes(CODE), "net.py", content=CODE)
    command = ("python", "-B", "in/source/net.py")
    return Action(id, "x", "", "//a/b:m", toolchain, (source,), ("answer.txt",), command, {})


def run(runner: Local, asked: Action) -> bytes:
    return runner.content.read(runner.run(asked, fingerprint(asked, None, {})).outputs["answer.txt"])


@pytest.fixture
def runner(tmp_path: Path) -> Local:
    root, said = tmp_path / "workspace", tmp_path / "said"
    root.mkdir()

    def say(line: str) -> None:
        with said.open("a") as file:
            file.write(f"{line}\n")

    toolchains = {"toy": TOY, "other": OTHER}
    return Local(root, root / ".megbuild", tmp_path / "cache", ContentStore(tmp_path / "store"), toolchains, say)


def installations(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, Installed], meanwhile: Callable[[], object]
) -> list[str]:
    """Have environments installed into ``there``, which takes as long as ``meanwhile``; what was installed, in order."""
    asked: list[str] = []

    def provision(toolchain: Toolchain, cache: Path, say: object) -> Installed:
        if toolchain.digest not in there:
            asked.append(toolchain.name)
            meanwhile()
            there[toolchain.digest] = here(toolchain)
        return there[toolchain.digest]

    monkeypatch.setattr(environments, "installed", lambda toolchain, cache: there.get(toolchain.digest))
    monkeypatch.setattr(environments, "provision", provision)
    return asked


def test_missing_ones_are_installed_side_by_side(runner: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=60)
    asked = installations(monkeypatch, {}, both.wait)  # only if the other one is being installed at the same time
    first = action()
    runner.expected = [first, replace(first, id="//a/b:m#y", toolchain="other")]
    assert run(runner, first) == b"x"
    assert sorted(asked) == ["other", "toy"]


def test_a_zygote_starts_while_its_environment_is_looked_at(runner: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    installations(monkeypatch, {"0": here(TOY)}, lambda: None)
    started, ran = threading.Event(), threading.Event()
    original = Zygotes._started

    def start(zygotes: Zygotes, kind: object) -> object:
        zygote = original(zygotes, kind)  # type: ignore[arg-type]
        started.set()
        return zygote

    def look(toolchain: Toolchain, cache: Path, say: object) -> bool:
        return started.wait(60) and not ran.wait(0.5)  # nothing runs before this is over

    monkeypatch.setattr(Zygotes, "_started", start)
    monkeypatch.setattr(environments, "sound", look)
    assert run(runner, action()) == b"x"
    ran.set()
    assert runner.environments.of(TOY).is_sound()


@pytest.mark.parametrize("late", [True, False])
def test_nothing_runs_in_an_environment_that_has_changed(
    runner: Local, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """It is installed again, and a zygote that may have imported what has changed ends."""
    there = {"0": here(TOY)}
    asked = installations(monkeypatch, there, lambda: None)
    started = threading.Event()
    zygotes: list[int] = []
    original = Zygotes._started

    def start(of: Zygotes, kind: object) -> object:
        zygote = original(of, kind)  # type: ignore[arg-type]
        zygotes.append(zygote.process)
        started.set()
        return zygote

    def look(toolchain: Toolchain, *rest: object) -> bool:
        assert not late or started.wait(60)
        del there[toolchain.digest]
        return False

    monkeypatch.setattr(Zygotes, "_started", start)
    monkeypatch.setattr(environments, "sound", look)
    if not late:
        found = runner.environments.standing(TOY)
        assert not (found and found.is_sound())
    assert run(runner, action()) == b"x"
    assert run(runner, action("//a/b:m#y")) == b"x"
    assert asked == ["toy"]
    assert [Path(f"/proc/{zygote}").exists() for zygote in zygotes] == ([False, True] if late else [True])
    assert [(kind.number, kind.toolchain) for kind in runner.zygotes._alive] == [(1, "toy")]


def test_threads_that_ask_at_once_have_one_installation_and_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    there: dict[str, Installed] = {}
    asked = installations(monkeypatch, there, threading.Event().is_set)
    looks: list[str] = []

    def look(toolchain: Toolchain, *rest: object) -> bool:
        looks.append(toolchain.name)
        there.clear()
        return False

    monkeypatch.setattr(environments, "sound", look)
    there["0"] = here(TOY)
    found = Environments(Path(), print)
    begin = threading.Barrier(8, timeout=60)
    numbers: list[int] = []

    def ask() -> None:
        begin.wait()
        one = found.of(TOY)
        if not one.is_sound():
            one = found.of(TOY)
        numbers.append(one.number)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (looks, asked, numbers) == (["toy"], ["toy"], [1] * 8)
