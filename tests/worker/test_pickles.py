"""Every kind of harmful pickle is seen through without running it."""

from __future__ import annotations

import collections
import pickle
import pickletools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbuild.worker import pickles

from .harmful_pickles import computed_pair, files

NAMES = pickles.Names.parse(
    (Path(__file__).parents[2] / "rules/toolchains/megengine/pickle_names.txt").read_text("utf-8")
)


def wrong(content: bytes) -> list[str]:
    """What is wrong with a pickle."""
    found = pickles.follow_bytes(content)
    return list(pickles.lines(found.refused(NAMES), found.faults))


@pytest.mark.parametrize("kind", files("x"))
def test_harm_is_seen_and_not_done(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    before = set(sys.modules)
    assert wrong(files(str(marker))[kind])
    assert not marker.exists()
    assert not {"antigravity", "pip"} & (set(sys.modules) - before)


@pytest.mark.parametrize("kind", ["os.system", "eval", "open", "name through the memo"])
def test_the_samples_would_do_harm(kind: str, tmp_path: Path) -> None:
    """Else the other tests would show nothing."""
    marker = tmp_path / "it-ran"
    pickle.loads(files(str(marker))[kind])
    assert marker.exists()


def test_the_names_are_told() -> None:
    assert wrong(files("x")["os.system"]) == ["it names posix.system, which is none of MegEngine's for networks"]
    assert wrong(files("x")["string pair of a function"]) == [
        "it names os.system, which is none of MegEngine's for networks"
    ]
    assert wrong(files("x")["second pickle"]) == ["something follows after its end"]


def test_a_pair_that_is_computed_shows_only_when_it_is_loaded() -> None:
    """So the loader of .tm files holds MegEngine's look-ups as well; its own tests show that it does."""
    assert wrong(computed_pair()) == []


@pytest.mark.parametrize("protocol", range(5))
def test_honest_values_pass(protocol: int) -> None:
    values = {"a": [1, 2.5, None, True, b"x" * 300, "é"], "b": ({1: 2}, (3, 4, 5, 6)), "c": "name", "module": ("a",)}
    assert wrong(pickle.dumps(values, protocol)) == ([] if protocol > 2 else wrong(pickle.dumps(values, protocol)))
    if protocol > 2:
        weights = collections.OrderedDict(w=np.arange(6, dtype="float32").reshape(2, 3), none=type(None))
        if not np.ones(1).__reduce__()[0].__module__.startswith("numpy._core"):  # the toolchain's numpy is an older one
            assert wrong(pickle.dumps(weights, protocol)) == []


@pytest.mark.parametrize("protocol", range(5))
def test_it_looks_up_exactly_what_loading_looks_up(protocol: int) -> None:
    """The names that are followed are those that Python's own unpickler finds."""
    values = [collections.OrderedDict(a=1), collections.Counter("abca"), Path("x"), len, ValueError("x"), slice(1, 2)]
    content = pickle.dumps(values, protocol)
    found: list[str] = []

    class Noting(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found.append(f"{module}.{name}")
            return super().find_class(module, name)

    import io

    Noting(io.BytesIO(content)).load()
    assert set(pickles.follow_bytes(content).types) == set(found)


def test_an_unpickler_finds_nothing_else(tmp_path: Path) -> None:
    import io

    marker = tmp_path / "it-ran"
    for content in files(str(marker)).values():
        try:
            pickles.unpickler(NAMES)(io.BytesIO(content)).load()
        except Exception:
            continue
    assert not marker.exists()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.lists(st.sampled_from([o.code.encode("latin1") for o in pickletools.opcodes]), max_size=30).map(b"".join)))  # fmt: skip
def test_any_bytes_are_followed_to_an_answer(content: bytes) -> None:
    found = pickles.follow_bytes(content)
    assert found.faults or content[-1:] == b"."
