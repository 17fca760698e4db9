"""Reasons, word for word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbuild.graph.reasons import NEVER, Reason, cosmetic, differences
from megbuild.graph.stale import Last, Verb, decide


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (NEVER, "never built"),
        (Reason("edited:out/a.mge"), "out/a.mge was edited by hand"),
        (Reason("deleted:out/a.mge"), "out/a.mge was deleted"),
        (Reason("needed://:a#tm"), "its result is no longer in the store and //:a#tm needs it"),
        (Reason("waits://:a#tm"), "//:a#tm must run first"),
        (Reason("cosmetic:a.py"), "a.py changed (comments or formatting only)"),
        (Reason("file:a.py", "1", "2"), "a.py changed"),
        (Reason("file:a.py", "", "2"), "a.py added"),
        (Reason("file:a.py", "1"), "a.py removed"),
        (Reason("option:opset", "11", "12"), "opset 11 -> 12"),
        (Reason("option:opset", "", "12"), "opset unset -> 12"),
        (Reason("option:opset", "11"), "opset 11 -> unset"),
        (Reason("declared:input 1", "1", "2"), "the declaration of input 1 changed"),
        (Reason("from://:a#tm", "1", "2"), "//:a#tm changed"),
        (Reason("code:rules/a/worker.py", "1", "2"), "code rules/a/worker.py changed"),
        (Reason("toolchain:rknn", "1", "2"), "toolchain rknn changed"),
        (Reason("environment:OMP", "1", "2"), "environment variable OMP changed"),
        (Reason("request:request", "1", "2"), "the request changed"),
        (Reason("request"), "the request changed"),
        (Reason("file:{0}", "1", "2"), "{0} changed"),
    ],
)
def test_what_is_said(reason: Reason, said: str) -> None:
    assert str(reason) == said


def test_what_the_user_changed_comes_first_and_what_follows_from_it_is_left_out() -> None:
    was = {"from://:a#tm": "1", "file:b": "1", "option:o": "1", "request:request": "1", "seen:b": "1", "code:c": "1"}
    now = {"from://:a#tm": "2", "file:a": "1", "file:b": "1", "option:o": "2", "request:request": "2", "seen:b": "2"}
    assert [reason.what for reason in differences(was, now)] == ["file:a", "option:o", "from://:a#tm", "code:c"]
    assert [reason.what for reason in differences({"request:request": "1"}, {"request:request": "2"})] == [
        "request:request"
    ]


def test_only_files_that_mean_the_same_are_cosmetic() -> None:
    was = {"file:a": "1", "seen:a": "1", "file:b": "1", "seen:b": "1", "seen:gone": "1"}
    now = {"file:a": "1", "seen:a": "2", "file:b": "2", "seen:b": "2", "seen:new": "1"}
    assert [str(reason) for reason in cosmetic(was, now)] == ["a changed (comments or formatting only)"]


names = st.sampled_from(
    [
        "file:a",
        "file:b",
        "option:o",
        "declared:input 1",
        "from:x",
        "code:c",
        "toolchain:t",
        "environment:E",
        "request:request",
    ]
)
components = st.dictionaries(names, st.sampled_from("123"), max_size=6)


@given(components, components, st.booleans(), st.booleans())
def test_nothing_is_kept_when_anything_differs(
    was: dict[str, str], now: dict[str, str], stored: bool, damaged: bool
) -> None:
    damage = (Reason("edited:x"),) if damaged else ()
    decision = decide(str(sorted(now.items())), now, Last(str(sorted(was.items())), was), damage, stored=stored)
    assert (decision.verb is Verb.KEEP) == (was == now and not damaged)
    assert bool(decision.reasons) == (decision.verb is not Verb.KEEP)
    assert decision.verb is not (Verb.RESTORE if not stored else Verb.RUN)


def test_another_key_with_equal_components_runs() -> None:
    decision = decide("new", {}, Last("old", {}), (), stored=False)
    assert decision.verb is Verb.RUN
    assert [str(reason) for reason in decision.reasons] == ["the request changed"]


def test_what_was_never_built_runs_or_is_restored() -> None:
    assert decide("k", {}, None, (), stored=False).verb is Verb.RUN
    assert decide("k", {}, None, (Reason("edited:x"),), stored=True).reasons == (NEVER,)
