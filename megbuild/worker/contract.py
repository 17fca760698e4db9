"""Holds the inputs and results of a produced file against those that the model declares.

A converter that renames a tensor, narrows its type or drops its batch axis is found here, at the step that did it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .job import Description, Refusal, Tensor


def check(described: Description, inputs: Sequence[Tensor], results: Sequence[Tensor], file: str) -> None:
    """Raises Refusal naming every difference between what ``file`` holds and what is declared.

    The order of inputs and of results is free: everything goes by name.
    """
    differences = _differences("input", described["inputs"], inputs)
    differences += _differences("result", described["results"], results)
    if differences:
        raise Refusal(f"{file} is not what the model declares: " + "; ".join(differences))


def record(described: Description) -> dict[str, list[dict[str, Any]]]:
    """The description as JSON values; ``layout`` appears where the file's order is not the declared one."""
    return {kind: [_entry(tensor) for tensor in tensors] for kind, tensors in described.items()}


def declared_order(tensor: Tensor) -> tuple[int, ...]:
    """The shape of a described tensor with its axes in the declared order."""
    if tensor.layout == "NHWC":
        n, h, w, c = tensor.shape
        return n, c, h, w
    return tensor.shape


def _differences(kind: str, found: Sequence[Tensor], declared: Sequence[Tensor]) -> list[str]:
    by_name = {tensor.name: tensor for tensor in found}
    wanted = {tensor.name for tensor in declared}
    differences = [f'{kind} "{name}" is not declared' for name in by_name if name not in wanted]
    for tensor in declared:
        there = by_name.get(tensor.name)
        if there is None:
            differences.append(f'{kind} "{tensor.name}" is missing')
        elif declared_order(there) != tensor.shape or tensor.dtype not in ("", there.dtype):
            differences.append(
                f'{kind} "{tensor.name}" is {there.dtype} {list(declared_order(there))}, '
                f"declared {tensor.dtype} {list(tensor.shape)}".replace("  ", " ")
            )
    return differences


def _entry(tensor: Tensor) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}
    if tensor.layout:
        entry["layout"] = tensor.layout
    return entry
