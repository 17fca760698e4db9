"""A build in many slices does what a build in one does."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from megbuild import pipeline
from megbuild.declare.models import Model
from megbuild.graph.resolve import Target
from megbuild.store import shelf
from megbuild.store.state import State

NAMES = ("net", "second", "third", "fourth")


@pytest.fixture
def sliced(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Four models, each a slice of its own. All have the same keys, so the first of them does the work."""
    monkeypatch.setattr(pipeline, "SLICE", 1)
    text = (toy.root / "MODELS.toml").read_text()
    rest = text.replace("workspace = true\n", "")
    toy.write({"MODELS.toml": text + "".join(rest.replace("models.net", f"models.{name}") for name in NAMES[1:])})
    return toy


def models(toy: Any, rows: Any) -> list[str]:
    return list(dict.fromkeys(row.label.partition("@")[0].removeprefix("//:") for row in rows))


def test_every_model_is_a_slice_and_comes_back_whole(sliced: Any) -> None:
    prepared = sliced.prepare()
    assert len(prepared.slices) == len(NAMES)
    assert prepared.slices.actions == len(prepared.planned) == len(prepared.graph.actions)
    for name, slice in zip(NAMES, prepared.slices, strict=True):
        assert {action.model for action in slice.graph.actions.values()} == {f"//:{name}"}
        assert [aim.target for aim in slice.graph.aims] == [t for t in prepared.targets if t.model.name == name]
    assert [aim.target for aim in prepared.graph.aims] == list(prepared.targets)


@pytest.mark.parametrize("jobs", [1, 3])
def test_it_is_built_once_and_then_up_to_date(sliced: Any, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    report = sliced.report(jobs=jobs)
    assert not report.failed and models(sliced, report.rows) == list(NAMES)
    assert {row.status for row in report.rows} <= {"built", "restored"}
    state = State.load(sliced.root, pytest.fail)
    assert len(state.built) == len(sliced.prepare().graph.actions)
    assert len(state.told) == len(state.built)
    report = sliced.report(jobs=jobs)
    assert {row.status for row in report.rows} == {"up to date"} and len(report.rows) == 3 * len(NAMES)
    monkeypatch.setattr(pipeline, "SLICE", 1000)
    assert len(sliced.prepare().slices) == 1
    assert {row.status for row in sliced.report().rows} == {"up to date"}


def test_a_failure_ends_it_and_the_table_is_whole(sliced: Any, fails: Any) -> None:
    sliced.work["//:net#tm"] = fails
    report = sliced.report()
    assert [failure.action for failure in report.failed] == ["//:net#tm"]
    assert models(sliced, report.rows) == list(NAMES)
    assert {row.status for row in report.rows if row.label.startswith("//:net@")} == {"failed"}
    assert {row.status for row in report.rows if row.label.startswith("//:fourth@")} == {"not reached"}
    report = sliced.report(keep_going=True)
    assert {row.status for row in report.rows if not row.label.startswith("//:net@")} <= {
        "built",
        "restored",
        "up to date",
    }
    assert not sliced.work.clear() and not sliced.report().failed


def test_all_that_is_wrong_is_told_before_anything_runs(sliced: Any) -> None:
    text = (sliced.root / "MODELS.toml").read_text()
    head, third, tail = text.partition("[models.third]\n")
    sliced.write({"MODELS.toml": head + third + tail.replace("net.py", "bad.py", 1), "bad.py": "def build(:\n"})
    with pytest.raises(Exception, match="not valid Python"):
        sliced.report()
    assert not sliced.ran


def test_declarations_wait_on_the_disk(sliced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the plan nor the work holds more of them than those whose turn it is."""
    monkeypatch.setattr(shelf, "_BLOCK", 1)
    gc.collect()
    before = len(list(held()))
    prepared = sliced.prepare()
    assert [model.name for model in prepared.workspace.models] == list(NAMES)
    assert len(prepared.targets) == 3 * len(NAMES) and prepared.targets[-1].model.name == NAMES[-1]
    gc.collect()
    assert len(list(held())) - before < len(NAMES)
    assert not sliced.report().failed


def held() -> Iterator[object]:
    return (one for one in gc.get_objects() if isinstance(one, (Model, Target)))
