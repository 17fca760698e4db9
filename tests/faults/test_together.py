"""Builds at the same time: in one workspace, in two that share a cache, and beside what cleans it."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from megbuild.store import lock
from tests.e2e.workspace import Outcome, Running, Workspace
from tests.faults import moments
from tests.faults.toys import ALL, Toys, held

WAITS = re.compile(
    r"(//:one#\S+: )?waiting for `doit build.*` \(pid (\d+), started [\d:]{8}\)(, which makes the same)?"
)


def ran(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How often each action was run by all of them."""
    return Counter(line.split()[1] for outcome in outcomes for line in outcome.lines if line.startswith("run "))


@pytest.mark.parametrize("count", [2, 8])
def test_builds_at_once_in_one_workspace(toys: Toys, count: int) -> None:
    space = toys.space()
    with lock.acquire(
        space.root / ".megbuild", print, command="doit build"
    ):  # so that they meet, however fast the first one would be
        running = [space.start(summary=False) for _ in range(count)]
        for one in running:
            one.until("waiting for ")
    outcomes = [one.wait() for one in running]
    assert [outcome.status for outcome in outcomes] == [0] * count
    assert set(ran(outcomes).values()) == {1}
    waited = [line for outcome in outcomes for line in outcome.lines if WAITS.fullmatch(line)]
    assert len(waited) >= count
    assert space.build(summary=False).lines[-1].startswith("everything is up to date")


@pytest.mark.parametrize("each", [1, 4])
def test_builds_at_once_in_two_workspaces_that_share_a_cache(toys: Toys, each: int) -> None:
    first = toys.space()
    second = toys.space(cache=first.cache)
    running = [held(first, ALL)]
    running[0].until("run ")
    running.append(second.start(summary=False))
    running[1].until("//:one#weights: waiting for ")
    running += [space.start(summary=False) for _ in range(each - 1) for space in (first, second)]
    while running[0].process.poll() is None:  # each of its actions
        first.wake()
        time.sleep(0.02)
    outcomes = [one.wait() for one in running]
    assert [outcome.status for outcome in outcomes] == [0] * len(running), outcomes
    assert set(ran(outcomes).values()) == {1}
    assert first.artifacts() == second.artifacts() != {}
    pids = {one.process.pid for one in running}
    waited = [match for outcome in outcomes for line in outcome.lines if (match := WAITS.fullmatch(line))]
    assert waited
    assert {int(match[2]) for match in waited} <= pids
    assert not list(first.cache.glob("store/running/*"))


def test_toolchains_are_installed_once_for_builds_at_once(toys: Toys) -> None:
    first = toys.space(toolchains=False)
    second = toys.space(cache=first.cache, toolchains=False)
    outcomes = [running.wait() for running in [space.start(summary=False) for space in (first, second)]]
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    said = Counter(line for outcome in outcomes for line in outcome.lines if "installing" in line)
    assert set(said.values()) == {1}


def holding(space: Workspace) -> tuple[lock.Lock, str]:
    """Hold the key of the first action of a workspace, as a build of another workspace would that runs it."""
    running = held(space, ALL)
    running.until("run ")
    moments.until(lambda: any(space.cache.glob("store/running/*")), "no key is held")
    (path, *_) = space.cache.glob("store/running/*")
    running.send(signal.SIGKILL)
    running.wait()
    moments.until(lambda: not list(moments.of_workspace(space)), "a process is left")
    return lock.making(space.cache / "store", path.name, "x", print, lambda: False), path.name


def test_a_key_that_another_build_holds_is_waited_for_until_it_dies_and_ctrl_c_is_heard(toys: Toys) -> None:
    space = toys.space()
    key, _ = holding(space)
    waiting = space.start(summary=False)
    waiting.until("//:one#weights: waiting for ")
    waiting.send(signal.SIGINT)
    assert waiting.wait().status == 130
    waiting = space.start(summary=False)
    waiting.until("//:one#weights: waiting for ")
    key.release()  # without a result: the one that waited makes it
    outcome = waiting.wait()
    assert outcome.status == 0
    assert ran([outcome])["//:one#weights"] == 1


def test_what_cleans_the_cache_waits_for_builds_and_they_wait_for_it(toys: Toys) -> None:
    space = toys.space()
    running = held(space, ALL)
    running.until("run ")
    cleaning = Running(space._popen("cache", "gc", "--max-size", "0"), space.root / "none")
    assert cleaning.process.stderr
    said = cleaning.process.stderr.readline().rstrip("\n")
    assert re.fullmatch(r"waiting for `doit build` \(pid \d+, .*\), which uses the cache", said)
    while running.process.poll() is None:
        space.wake()
        time.sleep(0.02)
    outcome, cleaned = running.wait(), cleaning.wait()
    assert outcome.status == 0, outcome.text
    assert cleaned.status == 0, cleaned.text
    alone = lock.alone(space.cache, print)
    (space.root / "one.py").write_text("def build(weights): return 'changed'\n")
    waiting = space.start(summary=False)
    waiting.until("waiting for ")
    alone.release()
    assert waiting.wait().status == 0


def test_a_cache_without_locks_is_refused(toys: Toys) -> None:
    """The answers of a network file system without a lock service, given to a real build."""
    space = toys.space()
    code = (
        "import errno, fcntl, runpy, sys\n"
        "def refuse(*arguments): raise OSError(errno.ENOLCK, 'No locks available')\n"
        "fcntl.flock = refuse\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    space.command = [space.command[0], "-I", "-c", code, *space.command[2:]]
    outcome = space.build(summary=False)
    assert outcome.status == 2
    assert re.fullmatch(
        r"the file system of .* has no locks, so two builds could not be kept apart \[MB601\]", outcome.errors[0]
    )
