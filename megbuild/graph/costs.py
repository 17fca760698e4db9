"""What actions cost, learned from when they last ran, and the order that this gives: the longest way first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from math import inf

from msgspec import Struct

from megbuild.graph.actions import CORE, Action


class Cost(Struct, frozen=True):
    """What one run of an action takes: wall ``seconds``, and at most this much ``memory`` in bytes."""

    seconds: float
    memory: int


UNKNOWN = Cost(5.0, 1 << 30)
"""Taken for a step that never ran: a converter with an ordinary network."""
NOTHING = Cost(0.0, 0)
"""Of a step that the core computes itself."""


def costs(
    actions: Mapping[str, Action], past: Callable[[str], Cost | None], learned: dict[str, Cost] | None = None
) -> dict[str, Cost]:
    """The cost of every action: as it was in the ``past``, else like its step on other models, else unknown.

    :param learned: what steps cost in the slices before this one, by name; takes in what this one tells.
    """
    learned = {} if learned is None else learned
    known: dict[str, Cost] = {}
    same_step: defaultdict[str, list[Cost]] = defaultdict(list)
    for id, action in actions.items():
        if cost := NOTHING if action.toolchain == CORE else past(id):
            known[id] = cost
            same_step[action.step].append(cost)
    learned |= {step: _like(others) for step, others in same_step.items()}
    return {id: known.get(id) or learned.get(action.step, UNKNOWN) for id, action in actions.items()}


def _like(others: list[Cost]) -> Cost:
    return Cost(sum(cost.seconds for cost in others) / len(others), max(cost.memory for cost in others))


def urgency(actions: Mapping[str, Action], costs: Mapping[str, Cost]) -> dict[str, float]:
    """Seconds from the start of each action to the end of the longest way that begins with it.

    What takes no time goes before everything else: what it gives, such as a published artifact, is there early, and
    does not come all at the end, when no action runs beside it.

    ``actions`` stand in an order in which each comes after those that it needs.
    """
    after: dict[str, float] = defaultdict(float)
    longest: dict[str, float] = {}
    for id in reversed(list(actions)):
        to_the_end = after[id] + costs[id].seconds
        longest[id] = to_the_end if costs[id].seconds else inf
        for product in actions[id].products:
            after[product.action] = max(after[product.action], to_the_end)
    return longest
