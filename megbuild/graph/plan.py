"""Plan: what can be decided before anything runs, action by action, with the reasons.

An action whose inputs are still to be made cannot be decided yet: it waits. When they come out equal to what they
were, it will turn out to be up to date (early cut-off).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from megbuild.graph.actions import Action, Outputs
from megbuild.graph.analyse import Graph
from megbuild.graph.fingerprint import Fingerprint, fingerprint
from megbuild.graph.reasons import Reason
from megbuild.graph.stale import Decision, Last, Verb, decide


class Known(Struct, frozen=True):
    """What is known of an action's results before the build: from the workspace's memory and from the store."""

    last: Last | None
    last_outputs: Outputs
    stored: Callable[[str], Outputs | None]
    """The complete stored outputs of a key, or None."""
    damage: tuple[Reason, ...]


class Planned(Struct, frozen=True):
    """One action of the plan; ``waits`` names the action that must run before this one can be decided."""

    id: str
    decision: Decision
    waits: str = ""
    now: Fingerprint | None = None
    """What it is made from now; None while it waits, and when it will run: that is looked at again then, and thousands
    of these are large."""


def plan(graph: Graph, known: Callable[[Action], Known]) -> tuple[Planned, ...]:
    """Every action of the graph in order, decided as far as it can be."""
    made: dict[str, Outputs] = {}
    planned: list[Planned] = []
    for action in graph.actions.values():
        missing = next((product.action for product in action.products if product.action not in made), "")
        if missing:
            planned.append(Planned(action.id, Decision(Verb.RUN, (Reason(f"waits:{missing}"),)), missing))
            continue
        found = known(action)
        now = fingerprint(action, graph.toolchains.get(action.toolchain), made)
        stored = found.stored(now.key) if found.last is None or found.last.key != now.key or found.damage else None
        decision = decide(now.key, now.components, found.last, found.damage, stored=stored is not None)
        planned.append(Planned(action.id, decision, now=None if decision.verb is Verb.RUN else now))
        if decision.verb is Verb.KEEP:
            made[action.id] = found.last_outputs
        elif stored is not None:
            made[action.id] = stored
    return tuple(planned)


def stale(planned: tuple[Planned, ...]) -> Mapping[str, Planned]:
    """The actions that are not known to be up to date."""
    return {step.id: step for step in planned if step.decision.verb is not Verb.KEEP}
