"""A fixed number of cases of every input: by hypothesis in this process, and by the coverage-guided fuzzer in its own.

``tests/fuzz/run`` does the same for as long as one likes.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import fuzzer
from .mutate import mutated
from .targets import TARGETS, Target, check
from .watch import harmless

CASES = 100
"""Cases of each target by hypothesis."""
GUIDED = 200
"""And by the coverage-guided fuzzer."""
SECONDS = 10
"""What one case may take."""
HERE = {name: target for name, target in TARGETS.items() if not target.needs or importlib.util.find_spec(target.needs)}


@contextmanager
def in_time() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"a case took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def no_power_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


def one(target: Target, data: bytes, folder: Path) -> None:
    with in_time():
        check(target, data, folder)


@pytest.mark.parametrize("name", HERE)
def test_examples_and_nothing(name: str, tmp_path: Path) -> None:
    for data in (b"", *HERE[name].seeds()):
        one(HERE[name], data, tmp_path)


@pytest.mark.parametrize("name", HERE)
def test_changed_examples(name: str, tmp_path: Path) -> None:
    target = HERE[name]
    seeds, words = [*target.seeds()], [*target.words()] or [b"0"]

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.sampled_from(seeds), st.integers(0, 2**32), st.binary(max_size=40))
    def changed(data: bytes, seed: int, junk: bytes) -> None:
        one(target, mutated(data, [*words, junk], random.Random(seed), seeds) if seed else junk, tmp_path)

    changed()


def test_a_fixed_number_of_cases_by_coverage() -> None:
    results = [*fuzzer.fuzz(list(TARGETS), GUIDED, 0, 1, jobs=2)]
    assert not [result for result in results if result.finding], "\n".join(map(str, results))
    assert all(result.cases >= GUIDED for result in results), "\n".join(map(str, results))


def test_a_finding_is_found(tmp_path: Path) -> None:
    """Else the other tests would show nothing: what is not megbuild's own error, a write outside, a process, a hang."""

    def broken(data: bytes, folder: Path) -> None:
        raise KeyError("x")

    def writes(data: bytes, folder: Path) -> None:
        (folder / "../beside").write_bytes(data)

    def links(data: bytes, folder: Path) -> None:
        (folder / "link").symlink_to(tmp_path)
        (folder / "link/through").write_bytes(data)

    def starts(data: bytes, folder: Path) -> None:
        subprocess.run(["true"], check=True)

    folder = tmp_path / "of the case"
    folder.mkdir()
    with pytest.raises(KeyError):
        check(Target("x", broken, list), b"", folder)
    for run in (writes, links, starts):
        with pytest.raises(AssertionError):
            check(Target("x", run, list), b"", folder)
    with harmless(folder):
        (folder / "inside").write_bytes(b"")
        (folder / "inside").unlink()
    with pytest.raises(AssertionError, match="took more"), in_time():
        signal.raise_signal(signal.SIGALRM)
