"""A verdict: the measures of an output against its thresholds and its budget.

Measuring is an action of its own, cached by artifact; judging costs microseconds, so a changed threshold does not
run anything again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PASS, FAIL, SMOKE, NOT_RUN = "pass", "fail", "smoke", "not run"

DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "": {"cosine": 0.9999, "scale": 0.01, "top1": 0.99},
    "fp16": {"cosine": 0.999, "scale": 0.02, "top1": 0.98},
    "bf16": {"cosine": 0.999, "scale": 0.02, "top1": 0.98},
    "int16": {"cosine": 0.999, "scale": 0.03, "top1": 0.98},
    "int8": {"cosine": 0.98, "scale": 0.15, "top1": 0.95},
}
"""Thresholds by precision where an output declares none of its own for a metric; '' is full precision."""

METRICS: Mapping[str, str] = {
    "cosine": "lowest cosine similarity of a sample with the .tm; at least this",
    "scale": "largest distance from 1 of the ratio of norms to the .tm, so that a rescaled result is seen; at most this",
    "max_abs": "largest absolute difference from the .tm; at most this",
    "sqnr_db": "lowest signal to quantisation noise ratio in dB; at least this",
    "top1": "share of samples whose largest class is that of the .tm; at least this",
    "top5": "share of samples whose largest class of the .tm is among the artifact's five largest; at least this",
    "accuracy": "share of samples whose largest class is the label; at least this",
    "accuracy_drop": "accuracy of the .tm less that of the artifact; at most this",
}
"""What each threshold of ``verify`` means: the text of the docs and of the schema."""


@dataclass(frozen=True)
class Verdict:
    """The answer for one output: its state, what was missed (sentences), and the figures that a table shows."""

    state: str
    misses: tuple[str, ...] = ()
    runtime: str = ""
    samples: int = 0
    accuracy: float | None = None
    reference_accuracy: float | None = None
    metrics: Mapping[str, float] | None = None
    """The worst value of each metric over samples and results."""
    reason: str = ""
    """Why nothing was run, where nothing was."""

    def __str__(self) -> str:
        return self.state if not self.misses else f"{self.state}: {'; '.join(self.misses)}"


def judge(measures: Mapping[str, Any] | None, options: Mapping[str, Any], size: int) -> Verdict:
    """The verdict of one output.

    :param measures: what the ``measure`` function of the worker wrote, with ``not_run`` where this machine could not run
        the artifact; None when no action measures it.
    :param options: ``verify.<metric>`` thresholds, ``budget.size_mb``, ``precision`` and ``not_run``.
    :param size: of the artifact's files together, in bytes.
    """
    misses = _over_budget(options, size)
    if measures is None or "not_run" in measures:
        why = options.get("not_run", "") if measures is None else measures["not_run"]
        return Verdict(FAIL if misses else NOT_RUN, tuple(misses), reason=str(why))
    thresholds = _thresholds(options, measures)
    worst = _worst(measures["results"])
    if not measures["results"] or measures["samples"] < 1:
        misses.append("nothing was compared")
    misses += _not_finite(measures["results"])
    for metric, limit in thresholds.items():
        misses += _miss(metric, limit, measures)
        if f"verify.{metric}" in options and not _measured(metric, measures):
            misses.append(f"{metric} is asked for, but no result has classes to count it on")
    state = FAIL if misses else SMOKE if measures["synthetic"] else PASS
    return Verdict(
        state,
        tuple(misses),
        runtime=measures["runtime"],
        samples=measures["samples"],
        accuracy=measures.get("accuracy"),
        reference_accuracy=measures.get("reference_accuracy"),
        metrics=worst,
    )


def _thresholds(options: Mapping[str, Any], measures: Mapping[str, Any]) -> dict[str, float]:
    """Declared thresholds, and the defaults of the precision for the rest; classes are no default of a random sample."""
    precision = options.get("precision", "")
    thresholds = dict(DEFAULTS.get(precision if precision in DEFAULTS else "", {}))
    if measures["synthetic"]:
        thresholds.pop("top1", None)
    thresholds |= {
        name.removeprefix("verify."): float(value) for name, value in options.items() if name.startswith("verify.")
    }
    return {name: thresholds[name] for name in METRICS if name in thresholds}


def _miss(metric: str, limit: float, measures: Mapping[str, Any]) -> list[str]:
    """The sentences for one metric that misses its threshold, one per result, each with the sample."""
    if metric in ("accuracy", "accuracy_drop"):
        return _miss_accuracy(metric, limit, measures)
    misses = []
    for name, result in sorted(measures["results"].items()):
        measured = result[metric]
        if measured is None:
            continue
        value = measured["agreement"] if metric in ("top1", "top5") else measured["worst"]
        # written so that NaN, for which every comparison is false, misses
        kept = (
            abs(value - 1) <= limit if metric == "scale" else value <= limit if metric == "max_abs" else value >= limit
        )
        if not kept:
            bound = "at most" if metric == "max_abs" else "within" if metric == "scale" else "at least"
            asked = f"{limit:g} of 1" if metric == "scale" else f"{limit:g}"
            misses.append(f"{metric} of {name} is {value:.6g} on sample {measured['sample']}, asked {bound} {asked}")
    return misses


def _measured(metric: str, measures: Mapping[str, Any]) -> bool:
    """Whether there is a value to compare; results without classes have no top-k. Accuracy tells of itself."""
    return metric.startswith("accuracy") or any(result[metric] is not None for result in measures["results"].values())


def _miss_accuracy(metric: str, limit: float, measures: Mapping[str, Any]) -> list[str]:
    accuracy, reference = measures.get("accuracy"), measures.get("reference_accuracy")
    if accuracy is None or reference is None:
        return [f"{metric} is asked for, but the model declares no labels"]
    if metric == "accuracy":
        return (
            []
            if accuracy >= limit
            else [f"accuracy is {accuracy:.4f} on {measures['samples']} samples, asked at least {limit:g}"]
        )
    drop = reference - accuracy
    return (
        []
        if drop <= limit
        else [f"accuracy drops by {drop:.4f} ({reference:.4f} -> {accuracy:.4f}), asked at most {limit:g}"]
    )


def _not_finite(results: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} holds {found['count']} values that are not finite where the .tm's are, first on sample {found['sample']}"
        for name, result in sorted(results.items())
        if (found := result["not_finite"])["count"]
    ]


def _over_budget(options: Mapping[str, Any], size: int) -> list[str]:
    limit = options.get("budget.size_mb")
    if limit is None or size <= limit * 1e6:
        return []
    return [f"the artifact has {size / 1e6:.3f} MB, its budget is {limit:g} MB"]


def _worst(results: Mapping[str, Any]) -> dict[str, float]:
    """The worst value of each metric over all results."""
    worst: dict[str, float] = {}
    for result in results.values():
        for metric in ("cosine", "scale", "max_abs", "sqnr_db", "top1", "top5"):
            if result.get(metric) is None:
                continue
            value = result[metric]["agreement" if metric in ("top1", "top5") else "worst"]
            if metric not in worst or _badness(metric, value) > _badness(metric, worst[metric]):
                worst[metric] = value
    return worst


def _badness(metric: str, value: float) -> float:
    """How far a value is from what it should be; larger is worse."""
    if value != value:  # NaN
        return math.inf
    if metric == "scale":
        return abs(value - 1)
    return value if metric == "max_abs" else -value
