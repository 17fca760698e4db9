"""Gives tensors of a converter's graph the declared names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def give(tensors: Sequence[Any], names: Sequence[str], others: Iterable[Any]) -> None:
    """Sets ``tensor.name`` of each tensor; any of ``others`` that has one of the names gets another one."""
    named = {id(tensor) for tensor in tensors}
    taken = {*names, *(other.name for other in others)}
    for other in others:
        if other.name in names and id(other) not in named:
            number = 1
            while f"{other.name}_{number}" in taken:
                number += 1
            other.name = f"{other.name}_{number}"
            taken.add(other.name)
    for tensor, name in zip(tensors, names):
        tensor.name = name
