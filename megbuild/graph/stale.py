"""The decision "is it stale": one short pure function with a named reason at each exit."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from megbuild.graph.reasons import NEVER, Reason, differences


class Verb(Enum):
    """What happens to an action; the value is the word that the user reads."""

    KEEP = "up to date"
    RESTORE = "restored"
    RUN = "built"


class Decision(Struct, frozen=True):
    """What to do with an action, and why (no reason when nothing is to be done)."""

    verb: Verb
    reasons: tuple[Reason, ...] = ()


class Last(Struct, frozen=True):
    """What the workspace remembers of an action: its key and the components that made it."""

    key: str
    components: Mapping[str, str]


def decide(
    key: str, components: Mapping[str, str], last: Last | None, damage: tuple[Reason, ...], *, stored: bool
) -> Decision:
    """Whether an action's result stands, can be taken from the store, or must be made.

    :param damage: published files of this action that were edited or deleted since.
    :param stored: whether the store holds the complete result of ``key``.
    """
    again = Verb.RESTORE if stored else Verb.RUN
    if last is None:
        return Decision(again, (NEVER,))
    if last.key != key:
        return Decision(again, differences(last.components, components) or (Reason("request", last.key, key),))
    if damage:
        return Decision(again, damage)
    return Decision(Verb.KEEP)
