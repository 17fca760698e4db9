"""Turns: never more than the machine has, the most urgent first, and everyone's turn comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from megbuild.execute import turns as module
from megbuild.execute.turns import Machine, Places, Turns, free_memory
from megbuild.graph.actions import Action
from megbuild.graph.costs import Cost

MB = 1_000_000


def action(id: str, device: str = "") -> Action:
    return Action(id, "mge", "", "//:net", "megengine", (), ("artifact",), device=device)


def turns(cores: int, memory: int, sizes: Mapping[str, int], **urgency: float) -> Turns:
    """Ready actions by their size in megabytes; those without an urgency have none."""
    costs = {id: Cost(1.0, size * MB) for id, size in sizes.items()}
    made = Turns(Machine(cores, memory * MB), costs, {id: urgency.get(id, 0.0) for id in sizes})
    for id in sizes:
        made.ready(action(id, device=id.partition("/")[0] if "/" in id else ""))
    return made


def begin(all_: Turns) -> list[str]:
    """Everything that may begin now, in its order."""
    begun = []
    while (one := all_.next()) is not None:
        begun.append(one.id)
    return begun


def test_as_many_as_there_are_cores() -> None:
    all_ = turns(3, 1000, dict.fromkeys("abcd", 1))
    assert begin(all_) == ["a", "b", "c"]
    all_.over(action("b"))
    assert begin(all_) == ["d"]


def test_the_most_urgent_first() -> None:
    all_ = turns(1, 1000, dict.fromkeys("abc", 1), a=1.0, b=3.0, c=2.0)
    order = begin(all_)
    for _ in range(2):
        all_.over(action(order[-1]))
        order += begin(all_)
    assert order == ["b", "c", "a"]


def test_a_smaller_one_goes_past_one_that_does_not_fit() -> None:
    all_ = turns(8, 100, {"a": 60, "b": 50, "c": 30}, a=3.0, b=2.0, c=1.0)
    assert begin(all_) == ["a", "c"]
    all_.over(action("a"))
    assert begin(all_) == ["b"]


def test_one_that_needs_more_than_there_is_runs_alone() -> None:
    all_ = turns(8, 100, {"huge": 500, "a": 10}, huge=9.0)
    assert begin(all_) == ["huge"]
    all_.over(action("huge"))
    assert begin(all_) == ["a"]


def test_a_device_is_used_by_one_at_a_time() -> None:
    all_ = turns(8, 1000, dict.fromkeys(("board/1", "board/2", "licence/1", "a"), 1))
    assert begin(all_) == ["a", "board/1", "licence/1"]
    all_.over(action("board/1", "board"))
    assert begin(all_) == ["board/2"]


@given(some.lists(some.integers(1, 150), max_size=12), some.integers(1, 4), some.data())
def test_never_more_than_there_is_and_nothing_is_left(sizes: list[int], cores: int, data: some.DataObject) -> None:
    by_name = {f"a{n}": size for n, size in enumerate(sizes)}
    all_ = turns(cores, 100, by_name)
    running: list[str] = []
    done = 0
    while done < len(sizes):
        running += begin(all_)
        assert running
        assert len(running) <= cores
        assert len(running) == 1 or sum(by_name[id] for id in running) <= 100
        all_.over(action(running.pop(data.draw(some.integers(0, len(running) - 1)))))
        done += 1
    assert begin(all_) == []


def test_the_limit_of_a_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory() > 100 * MB
    monkeypatch.setattr(module, "_CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("30000000\n")
    (tmp_path / "memory.max").write_text("50000000\n")
    assert free_memory() == 20 * MB
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 100 * MB


def test_what_is_not_given_is_all_there_is() -> None:
    assert Machine.here(3, 5) == Machine(3, 5)
    assert Machine.here().cores >= 1
    assert Machine.here().memory > 100 * MB


def test_as_many_actions_compute_as_there_are_places() -> None:
    places, inside, most = Places(2), [0], [0]
    guard = threading.Lock()

    def one() -> None:
        with places.one():
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            with guard:
                inside[0] -= 1

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (inside, most) == ([0], [2])
