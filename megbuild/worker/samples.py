"""Turns sample files into feeds: one dict of input name -> array of the declared shape and type for each sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .job import Refusal, Tensor

Array = NDArray[np.generic]
Feed = dict[str, Array]


def feeds(inputs: Sequence[Tensor], files: Sequence[Path]) -> Iterator[Feed]:
    """The samples in the order of ``files``; one synthetic sample when there are none.

    A ``.npy`` serves a model with one input, a ``.npz`` holds one array per input by name. Each array is one sample
    (exactly the declared shape) or many: ``(n, *declared)``, or ``(n, *declared[1:])`` when the declared batch is 1.
    """
    if not files:
        yield synthetic(inputs)
    for path in files:
        yield from _of_file(inputs, path)


def first(inputs: Sequence[Tensor], files: Sequence[Path]) -> Feed:
    """The first sample, or the synthetic one."""
    return next(feeds(inputs, files))


def synthetic(inputs: Sequence[Tensor], seed: int = 0) -> Feed:
    """One sample drawn evenly from the declared ranges, the same on every machine."""
    source = np.random.RandomState(seed)  # its stream is frozen across numpy versions
    return {tensor.name: _draw(source, tensor) for tensor in inputs}


def _draw(source: np.random.RandomState, tensor: Tensor) -> Array:
    low, high = tensor.range
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "b":
        return source.randint(0, 2, tensor.shape).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        least, most = max(int(np.ceil(low)), limits.min), min(int(np.floor(high)), limits.max)
        if least > most:
            raise Refusal(f'no {tensor.dtype} lies in the range [{low:g}, {high:g}] of input "{tensor.name}"')
        return source.randint(least, most + 1, tensor.shape, dtype=np.int64).astype(dtype)
    limit = np.finfo(dtype)
    return np.clip(source.uniform(low, high, tensor.shape), limit.min, limit.max).astype(dtype)


def _of_file(inputs: Sequence[Tensor], path: Path) -> Iterator[Feed]:
    arrays = _arrays(inputs, path)
    split = {tensor.name: _split(arrays[tensor.name], tensor, path) for tensor in inputs}
    counts = {len(many) for many in split.values()}
    if len(counts) > 1:
        said = ", ".join(f"{len(many)} of {name}" for name, many in split.items())
        raise Refusal(f"{path.name} holds unequal numbers of samples: {said}")
    for index in range(counts.pop()):
        yield {tensor.name: _cast(split[tensor.name][index], tensor, path) for tensor in inputs}


def _arrays(inputs: Sequence[Tensor], path: Path) -> Feed:
    try:
        return _read(inputs, path)
    except (OSError, ValueError) as error:
        raise Refusal(f"{path.name} cannot be read: {error}") from error


def _read(inputs: Sequence[Tensor], path: Path) -> Feed:
    names = [tensor.name for tensor in inputs]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise Refusal(f"{path.name} has no array named " + ", ".join(missing))
            return {name: archive[name] for name in names}
    if path.suffix != ".npy":
        raise Refusal(f"{path.name} is neither .npy nor .npz")
    if len(names) > 1:
        raise Refusal(f"{path.name} holds one array, the model has the inputs {', '.join(names)}: use .npz")
    return {names[0]: np.load(path, mmap_mode="r", allow_pickle=False)}


def _split(array: Array, tensor: Tensor, path: Path) -> Array:
    """The array with a first axis that counts samples."""
    shape = tensor.shape
    if array.shape == shape:
        return array[np.newaxis]
    if array.shape[1:] == shape:
        return array
    if shape and shape[0] == 1 and array.shape[1:] == shape[1:]:
        return array[:, np.newaxis]
    raise Refusal(f'{path.name} has the shape {list(array.shape)}, input "{tensor.name}" is {list(shape)}')


def _cast(array: Array, tensor: Tensor, path: Path) -> Array:
    """The sample in the declared type; a float is never cut down to an integer, nor an integer wrapped."""
    cast = np.ascontiguousarray(array, dtype=tensor.dtype)
    if cast.dtype.kind in "iub" and not np.array_equal(cast, array):
        raise Refusal(
            f'{path.name} holds {array.dtype} values that input "{tensor.name}" of {tensor.dtype} cannot hold'
        )
    return cast
