"""The options of the installed rules, by name: what a key of an output may be, and what values it takes.

Rules along different roads may share an option. Here a value passes when at least one of them takes it; whether the
rules on the output's own road do is known only when there is a road.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec import Struct

from megbuild.declare.hints import closest
from megbuild.declare.models import InstalledRule
from megbuild.rule import Option, Scalar


class Refused(Struct, frozen=True):
    """Why a value cannot be an option's."""

    complaint: str
    hint: str = ""


class Options:
    """Every option that an installed rule has."""

    def __init__(self, rules: Iterable[InstalledRule]) -> None:
        self._named: dict[str, dict[str, Option]] = {}
        for installed in rules:
            for name, option in installed.rule.options.items():
                self._named.setdefault(name, {})[installed.name] = option

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all options, sorted."""
        return tuple(sorted(self._named))

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def named(self, name: str) -> Mapping[str, Option]:
        """The options called ``name``, by rule."""
        return self._named[name]

    def accept(self, name: str, value: object) -> Scalar | Refused:
        """The value as the option's type (a whole number for a float becomes one), or why no rule takes it."""
        if isinstance(value, float) and not math.isfinite(value):
            return Refused("must be a finite number")
        complaints: dict[str, str] = {}
        for rule, option in self._named[name].items():
            complaint = option.complaint(value)
            if complaint is None and isinstance(value, (str, int, float, bool)):
                return float(value) if isinstance(option.default, float) else value
            complaints[rule] = complaint or "cannot be taken"
        choices = [str(choice) for option in self._named[name].values() for choice in option.choices]
        near = closest(value, choices) if isinstance(value, str) else ""
        hint = f'did you mean "{near}"?' if near else ""
        if len(set(complaints.values())) == 1:
            return Refused(next(iter(complaints.values())), hint)
        return Refused("; ".join(f"{complaint} for {rule}" for rule, complaint in complaints.items()), hint)
