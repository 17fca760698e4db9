"""Verdicts: what passes, what does not, and that NaN never does."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbuild.verify.judge import METRICS, judge

GOOD: dict[str, Any] = {
    "samples": 4,
    "synthetic": False,
    "runtime": "toy 1",
    "accuracy": 0.98,
    "reference_accuracy": 0.98,
    "results": {
        "prob": {
            "cosine": {"worst": 1.0, "sample": 3},
            "scale": {"worst": 1.0, "sample": 3},
            "max_abs": {"worst": 0.0, "sample": 3},
            "sqnr_db": {"worst": 100.0, "sample": 3},
            "top1": {"agreement": 1.0, "sample": 3},
            "top5": {"agreement": 1.0, "sample": 3},
            "not_finite": {"count": 0, "sample": -1},
        }
    },
}
IN_RESULTS = [name for name in METRICS if not name.startswith("accuracy")]
AT_MOST = {"scale", "max_abs", "accuracy_drop"}


def measured(**values: Any) -> dict[str, Any]:
    changed = copy.deepcopy(GOOD)
    for name, value in values.items():
        if name in changed:
            changed[name] = value
        else:
            changed["results"]["prob"][name]["agreement" if name.startswith("top") else "worst"] = value
    return changed


def test_a_perfect_conversion() -> None:
    verdict = judge(GOOD, {"precision": ""}, 10)
    assert (verdict.state, verdict.misses, verdict.samples, verdict.runtime) == ("pass", (), 4, "toy 1")
    assert verdict.metrics == {"cosine": 1.0, "scale": 1.0, "max_abs": 0.0, "sqnr_db": 100.0, "top1": 1.0, "top5": 1.0}


@pytest.mark.parametrize(
    ("values", "asked", "said"),
    [
        ({"cosine": 0.9}, {}, "cosine of prob is 0.9 on sample 3, asked at least 0.9999"),
        ({"scale": 1.5}, {}, "scale of prob is 1.5 on sample 3, asked within 0.01 of 1"),
        ({"scale": 0.5}, {"precision": "int8"}, "scale of prob is 0.5 on sample 3, asked within 0.15 of 1"),
        ({"max_abs": 2.0}, {"verify.max_abs": 1.0}, "max_abs of prob is 2 on sample 3, asked at most 1"),
        ({"sqnr_db": 10.0}, {"verify.sqnr_db": 30}, "sqnr_db of prob is 10 on sample 3, asked at least 30"),
        ({"top1": 0.5}, {"precision": "fp16"}, "top1 of prob is 0.5 on sample 3, asked at least 0.98"),
        ({"accuracy": 0.5}, {"verify.accuracy": 0.9}, "accuracy is 0.5000 on 4 samples, asked at least 0.9"),
        (
            {"accuracy": 0.9},
            {"verify.accuracy_drop": 0.01},
            "accuracy drops by 0.0800 (0.9800 -> 0.9000), asked at most 0.01",
        ),
        ({"accuracy": None}, {"verify.accuracy": 0.9}, "accuracy is asked for, but the model declares no labels"),
        ({"results": {}}, {}, "nothing was compared"),
        ({"samples": 0}, {}, "nothing was compared"),
    ],
)
def test_what_is_said(values: dict[str, Any], asked: dict[str, Any], said: str) -> None:
    verdict = judge(measured(**values), asked, 10)
    assert verdict.state == "fail"
    assert verdict.misses[0] == said


@pytest.mark.parametrize("metric", IN_RESULTS)
def test_nan_never_passes(metric: str) -> None:
    limit = 1e9 if metric in AT_MOST else -1e9
    verdict = judge(measured(**{metric: math.nan}), {f"verify.{metric}": limit}, 10)
    assert verdict.state == "fail"
    assert math.isnan((verdict.metrics or {})[metric])


@pytest.mark.parametrize("metric", ["accuracy", "accuracy_drop"])
def test_nor_does_an_accuracy_that_is_none(metric: str) -> None:
    assert judge(measured(accuracy=math.nan), {f"verify.{metric}": 0.5}, 10).state == "fail"


def test_nan_is_the_worst_of_several_results() -> None:
    several = measured(cosine=math.nan)
    several["results"]["other"] = GOOD["results"]["prob"]
    several["results"]["a"] = GOOD["results"]["prob"]
    assert math.isnan((judge(several, {}, 10).metrics or {})["cosine"])


def test_values_that_are_not_finite() -> None:
    spoilt = measured()
    spoilt["results"]["prob"]["not_finite"] = {"count": 2, "sample": 1}
    assert judge(spoilt, {}, 10).misses == (
        "prob holds 2 values that are not finite where the .tm's are, first on sample 1",
    )


def test_results_without_classes_have_no_top_k() -> None:
    """By default that is no miss; asking for it by name is one, unless another result has classes."""
    without = measured()
    without["results"]["prob"]["top1"] = None
    assert judge(without, {}, 10).state == "pass"
    assert judge(without, {"verify.top1": 0.0}, 10).misses == (
        "top1 is asked for, but no result has classes to count it on",
    )
    without["results"]["other"] = GOOD["results"]["prob"]
    assert judge(without, {"verify.top1": 0.9}, 10).state == "pass"


def test_a_random_sample_is_a_smoke_test_and_has_no_classes() -> None:
    assert judge(measured(synthetic=True, top1=0.0), {}, 10).state == "smoke"
    assert judge(measured(synthetic=True, top1=0.0), {"verify.top1": 0.9}, 10).state == "fail"


def test_what_was_not_run_never_passes() -> None:
    verdict = judge(None, {"not_run": "no board here", "verify.cosine": 0.9}, 10)
    assert (verdict.state, verdict.metrics) == ("not run", None)


@pytest.mark.parametrize("measures", [None, GOOD])
def test_a_budget_counts_also_where_nothing_runs(measures: Any) -> None:
    assert judge(measures, {"budget.size_mb": 1.0}, 1_000_000).state != "fail"
    verdict = judge(measures, {"budget.size_mb": 1.0}, 1_000_001)
    assert (verdict.state, verdict.misses) == ("fail", ("the artifact has 1.000 MB, its budget is 1 MB",))


values = st.floats(-2, 2) | st.sampled_from([math.nan, math.inf, -math.inf, 1e30])


@given(
    st.fixed_dictionaries(dict.fromkeys(IN_RESULTS, values)),
    st.sampled_from(list(METRICS)),
    st.floats(-2, 2),
    st.floats(-2, 2),
)
def test_a_stricter_threshold_never_passes_what_a_looser_one_fails(
    worst: dict[str, float], metric: str, one: float, two: float
) -> None:
    strict, loose = (min(one, two), max(one, two)) if metric in AT_MOST else (max(one, two), min(one, two))
    given_ = measured(**worst)
    if judge(given_, {f"verify.{metric}": strict}, 10).state == "pass":
        assert judge(given_, {f"verify.{metric}": loose}, 10).state == "pass"


@given(st.fixed_dictionaries(dict.fromkeys(IN_RESULTS, values)))
def test_a_pass_means_that_every_default_is_kept(worst: dict[str, float]) -> None:
    passed = judge(measured(**worst), {"precision": ""}, 10).state == "pass"
    assert passed == (worst["cosine"] >= 0.9999 and abs(worst["scale"] - 1) <= 0.01 and worst["top1"] >= 0.99)


def test_a_verdict_can_be_read_back() -> None:
    from dataclasses import asdict

    assert json.loads(json.dumps(asdict(judge(GOOD, {}, 10))))["state"] == "pass"
