"""Artifacts that take several declared samples at once: the option ``batch`` of the rules that can make them.

The declaration stays that of one sample, with 1 on the first axis of every input and result; that axis of the artifact
is as long as the batch. Samples fill it in their order, and are compared one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from .job import Job, Refusal, Tensor
from .samples import Feed


def size(job: Job) -> int:
    """How many samples the job's artifact takes at once."""
    return int(getattr(job.options, "batch", 1))


def declared(job: Job) -> Job:
    """The job with inputs and results as its artifact has them; Refusal where one has no axis for the batch."""
    count = size(job)
    if count == 1:
        return job
    tensors = [("input", t) for t in job.declared_inputs] + [("result", t) for t in job.declared_results]
    other = [f'{kind} "{t.name}" is declared as {list(t.shape)}' for kind, t in tensors if t.shape[:1] != (1,)]
    if other:
        raise Refusal(
            f"batch = {count} wants every input and result declared with 1 on its first axis: {'; '.join(other)}"
        )
    inputs, results = (_longer(group, count) for group in (job.declared_inputs, job.declared_results))
    return replace(job, declared_inputs=inputs, declared_results=results)


def _longer(tensors: Sequence[Tensor], count: int) -> tuple[Tensor, ...]:
    return tuple(replace(tensor, shape=(count, *tensor.shape[1:])) for tensor in tensors)


def joined(feeds: Iterable[Feed], count: int) -> Iterator[tuple[Feed, int]]:
    """``count`` samples at a time as one feed, and how many of them there were: the last one fills what is left."""
    group: list[Feed] = []
    for feed in feeds:
        group.append(feed)
        if len(group) == count:
            yield _stacked(group), count
            group = []
    if group:
        yield _stacked(group + group[-1:] * (count - len(group))), len(group)


def _stacked(group: Sequence[Feed]) -> Feed:
    return {name: np.concatenate([feed[name] for feed in group]) for name in group[0]}


def run(worker: ModuleType, job: Job, feeds: Iterable[Feed]) -> Iterator[dict[str, Any]]:
    """What the artifact gives for each declared sample, whatever batch it takes."""
    if size(job) == 1:
        yield from worker.run(job.inputs["artifact"], feeds, job)
        return
    wanted: deque[int] = deque()

    def groups() -> Iterator[Feed]:
        for feed, there in joined(feeds, size(job)):
            wanted.append(there)
            yield feed

    for results in worker.run(job.inputs["artifact"], groups(), job):
        for row in range(wanted.popleft()):
            yield {name: array[row : row + 1] for name, array in results.items()}
