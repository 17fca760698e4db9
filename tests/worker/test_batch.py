"""Samples as a batch, and its results sample by sample."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megbuild.worker import batch
from megbuild.worker.job import Job, Refusal, Tensor


def job(count: int, *shapes: tuple[int, ...]) -> Job:
    """With an input ``x0``, ``x1`` of each shape, and the result ``y``."""
    return Job(
        function="measure",
        worker="",
        inputs={"artifact": [Path("net")]},
        outputs={},
        options=SimpleNamespace(batch=count),
        declared_inputs=tuple(Tensor(f"x{i}", shape, "float32") for i, shape in enumerate(shapes or ((1, 2),))),
        declared_results=(Tensor("y", (1, 2), "float32"),),
        settings={},
        folder=Path(),
    )


def feeds(count: int) -> list[dict[str, Any]]:
    return [{"x0": np.full((1, 2), number, "float32")} for number in range(count)]


def test_the_artifact_is_longer_than_declared() -> None:
    made = batch.declared(job(4, (1, 3, 8, 8), (1,)))
    assert [tensor.shape for tensor in (*made.declared_inputs, *made.declared_results)] == [(4, 3, 8, 8), (4,), (4, 2)]


def test_one_is_as_declared_whatever_that_is() -> None:
    asked = job(1, (3, 8))
    assert batch.declared(asked) is asked
    del asked.options.batch  # a rule without the option
    assert batch.declared(asked) is asked


@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_what_has_no_axis_for_it_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Refusal, match=r'batch = 4 wants .* on its first axis: input "x1" is declared as'):
        batch.declared(job(4, (1, 3), shape))


@pytest.mark.parametrize(("samples", "there"), [(8, [4, 4]), (6, [4, 2]), (1, [1]), (0, [])])
def test_samples_fill_batches_in_their_order(samples: int, there: list[int]) -> None:
    groups = list(batch.joined(feeds(samples), 4))
    assert [count for _, count in groups] == there
    filled = [number for feed, _ in groups for number in feed["x0"][:, 0].tolist()]
    wanted = [min(number, samples - 1) for number in range(4 * len(there))]
    assert filled == wanted


@pytest.mark.parametrize("samples", [1, 4, 6])
def test_results_come_sample_by_sample_without_the_filling(samples: int) -> None:
    seen = []

    def run(paths: Any, given: Any, asked: Job) -> Any:
        assert asked.declared_inputs[0].shape == (1, 2)  # a worker may feed calibration samples by it
        for feed in given:
            seen.append(feed["x0"].shape)
            yield {"y": feed["x0"] * 10}

    worker = ModuleType("worker")
    worker.run = run  # type: ignore[attr-defined]
    results = list(batch.run(worker, job(4), feeds(samples)))
    assert [result["y"].tolist() for result in results] == [[[10.0 * number] * 2] for number in range(samples)]
    assert seen == [(4, 2)] * -(-samples // 4)
