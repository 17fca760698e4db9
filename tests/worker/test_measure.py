"""The measures say what they claim for ordinary vectors, and something sensible for the others."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from megbuild.worker import measure
from megbuild.worker.job import Job, Refusal, Tensor
from megbuild.worker.measure import EXACT_DB, HUGE, closeness

NAN, INF = float("nan"), float("inf")
floats32 = arrays.arrays(
    np.float32, st.integers(1, 20), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
)
any32 = arrays.arrays(np.float32, 6, elements=st.floats(width=32))


def close(got: list[float], wanted: list[float]) -> measure.Closeness:
    return closeness(np.array(got, np.float32), np.array(wanted, np.float32))


def test_equal() -> None:
    assert close([1, -2, 3], [1, -2, 3]) == measure.Closeness(
        cosine=1, scale=1, max_abs=0, sqnr_db=EXACT_DB, not_finite=0, top1=(1, 1), top5=None
    )


def test_cosine_is_blind_to_scale_and_scale_is_not() -> None:
    one = close([2, 4, 6], [1, 2, 3])
    assert one.cosine == pytest.approx(1)
    assert one.scale == pytest.approx(2)
    assert one.max_abs == 3
    assert one.sqnr_db == pytest.approx(0)


def test_orthogonal_and_opposite() -> None:
    assert close([1, 0], [0, 1]).cosine == 0
    assert close([-1, -2], [1, 2]).cosine == pytest.approx(-1)


@pytest.mark.parametrize(
    ("got", "wanted", "cosine", "scale", "sqnr"),
    [
        ([0, 0], [0, 0], 1, 1, EXACT_DB),
        ([0, 0], [1, 0], 0, 0, 0),
        ([1, 0], [0, 0], 0, HUGE, -EXACT_DB),
    ],
)
def test_zero_vectors(got: list[float], wanted: list[float], cosine: float, scale: float, sqnr: float) -> None:
    one = close(got, wanted)
    assert (one.cosine, one.scale, one.sqnr_db, one.not_finite) == (cosine, scale, sqnr, 0)


@pytest.mark.parametrize(
    ("got", "wanted"), [([NAN, 1], [1, 1]), ([INF, 1], [1, 1]), ([1, 1], [NAN, 1]), ([INF, 1], [-INF, 1])]
)
def test_a_value_that_is_not_finite_makes_the_whole_result_wrong(got: list[float], wanted: list[float]) -> None:
    one = close(got, wanted)
    assert (one.cosine, one.scale, one.max_abs, one.sqnr_db, one.not_finite) == (-1, HUGE, HUGE, -EXACT_DB, 1)


def test_the_same_infinity_on_both_sides_is_left_out() -> None:
    one = close([INF, NAN, 2], [INF, NAN, 2])
    assert (one.cosine, one.max_abs, one.not_finite) == (1, 0, 0)


def test_shapes_must_agree() -> None:
    with pytest.raises(Refusal, match=r"\[2\], the reference \[3\]"):
        close([1, 2], [1, 2, 3])


def test_top_k_is_over_the_last_axis() -> None:
    wanted = np.eye(10, dtype="float32")[:4]
    got = wanted.copy()
    got[3] = np.arange(10)  # the reference's best, 3, is the seventh here
    got[2, 7] = 2  # and 2 the second
    one = closeness(got[np.newaxis], wanted[np.newaxis])
    assert (one.top1, one.top5) == ((2, 4), (3, 4))


def test_top_k_needs_a_choice() -> None:
    assert close([1], [1]).top1 is None
    assert closeness(np.float32(1), np.float32(1)).top1 is None
    assert close([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).top5 is None
    assert close([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]).top5 == (1, 1)


@given(floats32)
def test_a_vector_is_close_to_itself(vector: np.ndarray) -> None:
    one = closeness(vector, vector)
    assert one.cosine == pytest.approx(1)
    assert (one.scale, one.max_abs, one.sqnr_db) == (1, 0, EXACT_DB)


@given(any32, any32)
def test_every_pair_has_a_record_that_json_can_hold(got: np.ndarray, wanted: np.ndarray) -> None:
    one = closeness(got, wanted)
    assert -1 <= one.cosine <= 1
    assert 0 <= one.scale <= HUGE
    assert abs(one.sqnr_db) <= EXACT_DB
    summary = measure.Summary()
    summary.add(one)
    json.dumps(summary.record(), allow_nan=False)


@given(floats32, st.floats(2**-20, 2**20))
def test_scale_measures_the_factor(vector: np.ndarray, factor: float) -> None:
    wide = vector.astype(np.float64)
    if np.any(wide):
        assert closeness(wide * factor, wide).scale == pytest.approx(factor)


def test_a_summary_names_the_worst_sample_and_the_earlier_on_a_tie() -> None:
    summary = measure.Summary()
    for got in ([1.0, 0.0], [0.9, 0.1], [2.0, 0.0], [0.5, 0.0], [0.0, 1.0]):
        summary.add(close(got, [1.0, 0.0]))
    record = summary.record()
    assert record["cosine"]["sample"] == 4
    assert record["scale"] == {"worst": 2, "sample": 2}
    assert record["max_abs"] == {"worst": 1, "sample": 2}
    assert record["top1"] == {"agreement": 0.8, "sample": 4}
    assert record["not_finite"] == {"count": 0, "sample": -1}


def test_numbers_are_rounded_to_nine_digits() -> None:
    assert measure.rounded(1 / 3) == 0.333333333
    assert measure.rounded(1234567890123.0) == 1234567890000.0


# The whole measurement, with a worker that doubles its input.


def doubling(paths: list[Path], feeds: Iterable[dict[str, Any]], job: Job) -> Iterator[dict[str, Any]]:
    for feed in feeds:
        yield {"y": feed["x"] * np.float32(2)}


WORKER: Any = SimpleNamespace(run=doubling, runtime=lambda: "doubler 1.0")


def job(folder: Path, samples: np.ndarray | None, expected: np.ndarray, labels: np.ndarray | None = None) -> Job:
    inputs = {"artifact": [folder / "a.bin"], "expected": [folder / "y.npy"]}
    np.save(folder / "y.npy", expected)
    if samples is not None:
        np.save(folder / "samples.npy", samples)
        inputs["samples"] = [folder / "samples.npy"]
    if labels is not None:
        np.save(folder / "labels.npy", labels)
        inputs["labels"] = [folder / "labels.npy"]
    shape = expected.shape[1:]
    return Job(
        "measure",
        "",
        inputs,
        {},
        SimpleNamespace(),
        (Tensor("x", shape, "float32"),),
        (Tensor("y", shape, ""),),
        {},
        folder,
    )


def test_accuracy_of_artifact_and_reference(tmp_path: Path) -> None:
    x = np.eye(4, dtype="float32")[:, np.newaxis]
    expected = 2 * x
    expected[0] = expected[1]
    record = measure.measures(WORKER, job(tmp_path, x, expected, np.array([0, 1, 2, 0])))
    assert (record["accuracy"], record["reference_accuracy"]) == (0.75, 0.5)
    assert (record["samples"], record["synthetic"], record["runtime"]) == (4, False, "doubler 1.0")
    assert record["results"]["y"]["top1"] == {"agreement": 0.75, "sample": 0}


def test_without_samples_the_measures_say_synthetic(tmp_path: Path) -> None:
    record = measure.measures(WORKER, job(tmp_path, None, np.zeros((1, 1, 4), "float32")))
    assert (record["samples"], record["synthetic"], record["accuracy"]) == (1, True, None)


@pytest.mark.parametrize("expected", [3, 5])
def test_expectations_of_other_samples_are_refused(tmp_path: Path, expected: int) -> None:
    x = np.ones((4, 1, 4), "float32")
    with pytest.raises(Refusal, match="samples"):
        measure.measures(WORKER, job(tmp_path, x, np.ones((expected, 1, 4), "float32")))


def test_labels_must_be_as_many_as_samples(tmp_path: Path) -> None:
    x = np.ones((4, 1, 4), "float32")
    with pytest.raises(Refusal, match=r"labels.npy holds 3 labels for 4"):
        measure.measures(WORKER, job(tmp_path, x, x, np.zeros(3, int)))
