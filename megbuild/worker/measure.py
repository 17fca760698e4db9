"""Numbers that say how close an artifact's results are to the reference's, sample by sample.

Cosine alone is blind to scale and one bad element hides in a mean, so each result gets several measures, each with
its worst value and the sample that gave it. Nothing here is compared with a threshold: that is the verdict's work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import batch, samples, stable
from .job import Job, NotHere, Refusal

HUGE = 1e30
"""Stands for infinity, which JSON cannot hold."""
EXACT_DB = 1e3
"""The signal to noise ratio of an exact match; its negative stands for a result with values that are not finite."""

Floats = NDArray[np.float64]
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Closeness:
    """One result of one sample against the reference."""

    cosine: float
    scale: float
    max_abs: float
    sqnr_db: float
    not_finite: int
    top1: tuple[int, int] | None
    top5: tuple[int, int] | None
    """(vectors that agree, vectors); None where the question is empty."""


def closeness(got: Array, wanted: Array) -> Closeness:
    """Compares two arrays of one shape.

    cosine, scale
        of the flattened arrays; ``scale`` is the ratio of their norms. Both zero: 1 and 1. One zero: 0, and 0 or HUGE.
    max_abs, sqnr_db
        largest difference; signal (the reference) to noise ratio in dB, within ±EXACT_DB.
    not_finite
        places where one of the two is NaN or infinite and the other is not the same. With any of them the result
        counts as wrong altogether: cosine -1, scale and max_abs HUGE, sqnr_db -EXACT_DB. Places where both are
        the same infinity or NaN are left out.
    top1, top5
        over the last axis: the reference's best is the best, or among the five best. Empty (None) with fewer than 2
        or 6 classes.
    """
    if got.shape != wanted.shape:
        raise Refusal(f"a result has the shape {list(got.shape)}, the reference {list(wanted.shape)}")
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    top1, top5 = _top(a, b, 1), _top(a, b, 5)
    same = np.isfinite(a) & np.isfinite(b)
    not_finite = int(np.count_nonzero(~same & ~(a == b) & ~(np.isnan(a) & np.isnan(b))))
    if not_finite:
        return Closeness(-1.0, HUGE, HUGE, -EXACT_DB, not_finite, top1, top5)
    a, b = a[same], b[same]
    return Closeness(*_cosine_and_scale(a, b), _max_abs(a, b), _sqnr_db(a, b), 0, top1, top5)


def _cosine_and_scale(a: Floats, b: Floats) -> tuple[float, float]:
    # Dividing by the largest element first keeps squares of float32 values, tiny or huge, inside float64.
    peak_a, peak_b = _peak(a), _peak(b)
    if peak_a == 0 or peak_b == 0:
        return (1.0, 1.0) if peak_a == peak_b else (0.0, 0.0 if peak_a == 0 else HUGE)
    a, b = a / peak_a, b / peak_b
    norm_a, norm_b = math.sqrt(_dot(a, a)), math.sqrt(_dot(b, b))
    cosine = _dot(a, b) / (norm_a * norm_b)
    return max(-1.0, min(1.0, cosine)), min(HUGE, norm_a / norm_b * (peak_a / peak_b))


def _peak(a: Floats) -> float:
    return float(np.max(np.abs(a), initial=0.0))


def _dot(a: Floats, b: Floats) -> float:
    # numpy's own summation, not BLAS: the same order of additions on every machine.
    return float(np.sum(a * b))


def _max_abs(a: Floats, b: Floats) -> float:
    return min(HUGE, _peak(a - b))


def _sqnr_db(a: Floats, b: Floats) -> float:
    noise_peak, signal_peak = _peak(a - b), _peak(b)
    if noise_peak == 0:
        return EXACT_DB
    if signal_peak == 0:
        return -EXACT_DB
    noise, signal = (a - b) / noise_peak, b / signal_peak
    ratio = 10 * math.log10(_dot(signal, signal) / _dot(noise, noise))
    return max(-EXACT_DB, min(EXACT_DB, ratio + 20 * math.log10(signal_peak / noise_peak)))


def _top(a: Floats, b: Floats, k: int) -> tuple[int, int] | None:
    classes = a.shape[-1] if a.ndim else 0
    if classes <= k or not a.size:
        return None
    a, b = a.reshape(-1, classes), b.reshape(-1, classes)
    a = np.where(np.isnan(a), -np.inf, a)
    best = np.argmax(b, axis=1)
    chosen = np.argsort(-a, axis=1, kind="stable")[:, :k]
    return int(np.count_nonzero(chosen == best[:, np.newaxis])), len(best)


@dataclass
class Summary:
    """Gathers the closeness of one result over all samples; on a tie the earlier sample is named."""

    cosines: list[float] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    max_abs: list[float] = field(default_factory=list)
    sqnr_db: list[float] = field(default_factory=list)
    not_finite: list[int] = field(default_factory=list)
    top1: list[tuple[int, int] | None] = field(default_factory=list)
    top5: list[tuple[int, int] | None] = field(default_factory=list)

    def add(self, one: Closeness) -> None:
        """Takes the next sample."""
        self.cosines.append(one.cosine)
        self.scales.append(one.scale)
        self.max_abs.append(one.max_abs)
        self.sqnr_db.append(one.sqnr_db)
        self.not_finite.append(one.not_finite)
        self.top1.append(one.top1)
        self.top5.append(one.top5)

    def record(self) -> dict[str, Any]:
        """The measures of this result as JSON values."""
        cosine = _worst(self.cosines, [-value for value in self.cosines])
        return {
            "cosine": {**cosine, "mean": rounded(math.fsum(self.cosines) / len(self.cosines))},
            "scale": _worst(self.scales, [max(value, 1 / value if value else HUGE) for value in self.scales]),
            "max_abs": _worst(self.max_abs, self.max_abs),
            "sqnr_db": _worst(self.sqnr_db, [-value for value in self.sqnr_db]),
            "not_finite": {"count": sum(self.not_finite), "sample": _first(n > 0 for n in self.not_finite)},
            "top1": _agreement(self.top1),
            "top5": _agreement(self.top5),
        }


def _worst(values: list[float], badness: list[float]) -> dict[str, Any]:
    sample = max(range(len(values)), key=lambda index: (badness[index], -index))
    return {"worst": rounded(values[sample]), "sample": sample}


def _first(flags: Iterator[bool]) -> int:
    return next((index for index, flag in enumerate(flags) if flag), -1)


def _agreement(counts: list[tuple[int, int] | None]) -> dict[str, Any] | None:
    asked = [count for count in counts if count is not None]
    if not asked:
        return None
    agreed, total = sum(a for a, _ in asked), sum(n for _, n in asked)
    return {"agreement": rounded(agreed / total), "sample": _first(c is not None and c[0] < c[1] for c in counts)}


def rounded(value: float) -> float:
    """The number with 9 significant digits, so that its text does not depend on the last bits."""
    return float(f"{value:.9g}")


def do(worker: ModuleType, job: Job) -> None:
    """Writes the measures of an artifact; where this machine cannot run it, the reason."""
    try:
        measured = measures(worker, job)
    except NotHere as reason:
        measured = {"not_run": str(reason)}
    stable.write_json(job.output("measures"), measured)


def measures(worker: ModuleType, job: Job) -> dict[str, Any]:
    """Runs the artifact on every sample and compares its results with ``expected``."""
    files = job.inputs.get("samples", [])
    feeds = samples.feeds(job.declared_inputs, files)
    expected = _expected(job)
    summaries = {name: Summary() for name in expected}
    labels = job.inputs.get("labels", [])
    ranked = next((r.name for r in job.declared_results if r.shape and r.shape[-1] > 1), None) if labels else None
    chosen: list[Array] = []
    count = 0
    for results in batch.run(worker, job, feeds):
        for name, reference in expected.items():
            if count >= len(reference):
                raise Refusal(f"there are more samples than the {len(reference)} results that were expected of them")
            summaries[name].add(closeness(results[name], reference[count]))
        if ranked:
            chosen.append(np.argmax(results[ranked], axis=-1).reshape(-1))
        count += 1
    short = [name for name, reference in expected.items() if len(reference) != count]
    if short or not count:
        raise Refusal(f"{count} samples were run, but {len(expected[short[0]]) if short else 0} results were expected")
    truth = _labels(labels[0], chosen) if ranked else None
    return {
        "samples": count,
        "synthetic": not files,
        "runtime": worker.runtime(),
        "accuracy": _accuracy(np.concatenate(chosen), truth) if ranked else None,
        "reference_accuracy": _accuracy(np.argmax(expected[ranked], axis=-1).reshape(-1), truth) if ranked else None,
        "results": {name: summary.record() for name, summary in summaries.items()},
    }


def _expected(job: Job) -> dict[str, Array]:
    found = {path.stem: path for path in job.inputs["expected"]}
    return {
        result.name: np.load(found[result.name], mmap_mode="r", allow_pickle=False) for result in job.declared_results
    }


def _labels(path: Path, chosen: list[Array]) -> Array:
    labels: Array = np.load(path, allow_pickle=False).reshape(-1)
    wanted = sum(len(one) for one in chosen)
    if len(labels) != wanted:
        raise Refusal(f"{path.name} holds {len(labels)} labels for {wanted} sample results")
    return labels


def _accuracy(chosen: Array, truth: Array | None) -> float:
    return rounded(float(np.mean(chosen == truth)))
