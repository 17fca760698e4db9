"""The outputs of a model: hardware, options, road, thresholds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from megbuild.declare.complaints import take, unknown_key
from megbuild.declare.hints import did_you_mean, one_of, quoted
from megbuild.declare.labels import NAME, NAME_RULE
from megbuild.declare.limits import UNLIMITED, Limits
from megbuild.declare.models import Budget, Hardware, Output, Thresholds
from megbuild.declare.options import Options, Refused
from megbuild.declare.positions import Place
from megbuild.declare.schema import BudgetTable, ModelTable, OutputTable, VerifyTable
from megbuild.errors import Problem, Where
from megbuild.rule import Scalar

_NONE: Mapping[str, Any] = MappingProxyType({})
KEYS = frozenset(OutputTable.__struct_fields__)
LAYOUT = "layout"


class Inherited(Struct, frozen=True):
    """What an output gets unless it says otherwise: from its model, and from the [defaults] above."""

    verify: Thresholds = Thresholds()
    budget: Budget = Budget()
    hash: str = "meaning"
    environment: str = ""
    limits: Limits = UNLIMITED
    options: Mapping[str, Scalar] = _NONE
    places: Mapping[str, Where] = _NONE

    def with_limits(self, verify: VerifyTable | UnsetType, budget: BudgetTable | UnsetType) -> Inherited:
        """With the thresholds and limits of a nearer table over these."""
        if verify is UNSET and budget is UNSET:
            return self
        return replace(self, verify=thresholds(self.verify, verify), budget=limits(self.budget, budget))


@dataclass
class Catalogue:
    """What is installed: outputs are checked against it."""

    options: Options
    hardware: Mapping[str, Hardware]
    formats: Collection[str]
    wrappers: Mapping[str, Collection[str]]
    """The formats that an artifact of a format can be wrapped in."""
    homes: Mapping[str, str] = field(init=False)
    """Of keys that belong to a model, and not to an output: a hint that says so."""

    def __post_init__(self) -> None:
        self.homes = {
            key: f'"{key}" belongs to the model: write it above its outputs'
            for key in ModelTable.__struct_fields__
            if key not in KEYS
        }

    def output(
        self, name: str, raw: dict[str, Any], place: Place, above: Inherited, problems: list[Problem]
    ) -> Output | None:
        """The output that a table declares; None when it has no usable name or table."""
        if not NAME.fullmatch(name):
            problems.append(Problem("MB107", f"{quoted(name)} cannot name an output", NAME_RULE, place.key_of()))
            return None
        options, places = self.settle({key: value for key, value in raw.items() if key not in KEYS}, place, problems)
        table = take({key: raw[key] for key in raw if key in KEYS}, OutputTable, place, problems)
        if table is None:
            return None
        hardware = table.hardware or name
        self._check_hardware(hardware, "hardware" in raw, place, problems)
        self._check_layouts(hardware, options, place, problems)
        return Output(
            name=name,
            hardware=hardware,
            options=options,
            verify=thresholds(above.verify, table.verify),
            budget=limits(above.budget, table.budget),
            via=self._via(table, place, problems),
            direct=table.direct,
            embed=self._embed(table, hardware, place, problems),
            where=place.key_of(),
            places=places,
            inherited=above.options,
        )

    def settle(
        self, raw: Mapping[str, Any], place: Place, problems: list[Problem], keys: Collection[str] = KEYS
    ) -> tuple[Mapping[str, Scalar], Mapping[str, Where]]:
        """The options among the free keys of a table, and where each stands. ``keys`` are the table's other keys."""
        if not raw:
            return _NONE, _NONE
        settled: dict[str, Scalar] = {}
        for key, value in raw.items():
            if key not in self.options:
                problems.append(unknown_key(key, place, (*keys, *self.options.names), self.homes))
                continue
            if key == LAYOUT and isinstance(value, list):
                message = f"{len(value)} layouts at once: an artifact has one"
                problems.append(Problem("MB117", message, "declare one output for each", place.at(key)))
                continue
            accepted = self.options.accept(key, value)
            if isinstance(accepted, Refused):
                problems.append(Problem("MB116", f"{key} {accepted.complaint}", accepted.hint, place.at(key)))
            else:
                settled[key] = accepted
        return MappingProxyType(settled), MappingProxyType({key: place.at(key) for key in settled})

    def _check_hardware(self, hardware: str, written: bool, place: Place, problems: list[Problem]) -> None:
        if hardware in self.hardware:
            return
        hint = did_you_mean(hardware, self.hardware, one_of(self.hardware))
        if not written:
            hint = f'{hint} Else add hardware = "..."' if hint.startswith("did") else f'add hardware = "...": {hint}'
        where = place.at("hardware") if written else place.key_of()
        problems.append(Problem("MB115", f"there is no hardware {quoted(hardware)}", hint, where))

    def _check_layouts(
        self, hardware: str, options: Mapping[str, Scalar], place: Place, problems: list[Problem]
    ) -> None:
        wanted = self.hardware[hardware].options.get(LAYOUT) if hardware in self.hardware else None
        if LAYOUT in options and wanted is not None and options[LAYOUT] != wanted:
            message = f"layout {options[LAYOUT]} beside layout {wanted}, which {hardware} asks for"
            hint = "leave layout out, or choose another hardware"
            problems.append(Problem("MB117", message, hint, place.at(LAYOUT)))

    def _embed(self, table: OutputTable, hardware: str, place: Place, problems: list[Problem]) -> str:
        if not table.embed or hardware not in self.hardware:
            return ""
        form = self.hardware[hardware].format
        wrappers = self.wrappers.get(form, ())
        if table.embed in wrappers:
            return table.embed
        message = f"no installed rule wraps a {form}, which {hardware} takes, in the format {quoted(table.embed)}"
        hint = did_you_mean(table.embed, wrappers, one_of(wrappers)) if wrappers else "leave embed out"
        problems.append(Problem("MB132", message, hint, place.at("embed")))
        return ""

    def _via(self, table: OutputTable, place: Place, problems: list[Problem]) -> tuple[str, ...]:
        via = (table.via,) if isinstance(table.via, str) else table.via
        for number, name in enumerate(via):
            if name not in self.formats:
                where = place.at("via") if isinstance(table.via, str) else place.at("via", number)
                hint = did_you_mean(name, self.formats, one_of(self.formats))
                problems.append(Problem("MB119", f"no installed rule makes the format {quoted(name)}", hint, where))
        if via and table.direct:
            message = "via and direct contradict each other"
            problems.append(Problem("MB109", message, "keep one of the two", place.key_of("direct")))
        return via


def thresholds(above: Thresholds, table: VerifyTable | UnsetType) -> Thresholds:
    """The thresholds of a nearer table over those from above."""
    if isinstance(table, UnsetType):
        return above
    return replace(
        above, **{name: value for name in table.__struct_fields__ if (value := getattr(table, name)) is not UNSET}
    )


def limits(above: Budget, table: BudgetTable | UnsetType) -> Budget:
    """The limits of a nearer table over those from above."""
    if isinstance(table, UnsetType):
        return above
    return above if table.size_mb is UNSET else replace(above, size_mb=table.size_mb)
