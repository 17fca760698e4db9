"""Resolve: what was asked for becomes roads, each step with its options settled.

An option of a step is, in rising order of force: the rule's default, the [defaults] of the folder, the hardware's
preset, what the user wrote on the output, and what the next rule of the road requires of this step. A requirement that contradicts what the user
wrote is an error, not a silent override.

A rule that refines a format (float to int8) is on the road where an option of it that no other step has is set; of several such
rules the last one is. What the next rule requires holds for it and
for the step before it together.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import SimpleNamespace

from msgspec import Struct

from megbuild.declare.models import Hardware, InstalledRule, Model, Output, Workspace
from megbuild.errors import MegbuildError, Problem
from megbuild.graph import routes
from megbuild.rule import Option, Rule, Scalar


class Step(Struct, frozen=True):
    """One rule of a road with the options it will run with, sorted by name; the step ``before`` where one of the two refines."""

    rule: InstalledRule
    options: tuple[tuple[str, Scalar], ...]
    secrets: tuple[tuple[str, str], ...] = ()
    """Of options that name a key: where it is. Their value is a commitment to it, once it was looked at."""
    before: Step | None = None

    @property
    def name(self) -> str:
        """``rknn-int8-rk3588``: the format it makes and every option that is not the default; forbidden characters become ``-``.

        A step that refines adds its own to the name of the step before it, and the step behind it has them too.
        """
        if self.before is None:
            return "-".join([self.rule.rule.produces, *self._chosen])
        if self.rule.rule.refines:
            return "-".join([self.before.name, *self._chosen])
        return "-".join([self.rule.rule.produces, *self._chosen, *self.before._chosen])

    @property
    def _chosen(self) -> list[str]:
        """A word for each option that is not the default; without those that the step before one that refines has too."""
        defaults = self.rule.rule.options
        told = dict(self.before.options) if self.before and self.rule.rule.refines else {}
        return [
            name if name in self.rule.rule.secrets else _word(name, value)
            for name, value in self.options
            if defaults[name].default != value and name not in told
        ]


Road = tuple[Step, ...]
"""The steps that lead from a model's start to an output."""


class Target(Struct, frozen=True):
    """An output to make: its model, its hardware and the road from the model's start."""

    model: Model
    output: Output
    hardware: Hardware
    road: tuple[Step, ...]

    @property
    def label(self) -> str:
        """``//package:model@output``."""
        return f"{self.model.label}@{self.output.name}"

    @property
    def declared(self) -> bool:
        """Whether the output stands in a MODELS.toml; what a command wants beside those is not published."""
        return self.output in self.model.outputs

    @property
    def form(self) -> str:
        """The format of the artifact: what the hardware takes, or what that is wrapped in."""
        return self.output.embed or self.hardware.format


def start_of(model: Model) -> str:
    """The format that the model is given in."""
    return "source" if model.source else "tm" if model.archive else "onnx"


class Targets(Sequence[Target]):
    """Targets in the order in which they were selected: it holds neither their models nor themselves, and makes them anew.

    :param roads: each that is taken, once.
    """

    def __init__(
        self, selected: Sequence[tuple[Model, Output]], hardware: Mapping[str, Hardware], roads: Sequence[Road]
    ) -> None:
        self.roads = roads
        self._selected, self._hardware = selected, hardware
        self._places, self._numbers = array("l"), array("l")

    def append(self, place: int, road: int) -> None:
        """Add the target of a selected output, by the numbers of that and of its road."""
        self._places.append(place)
        self._numbers.append(road)

    def but(self, labels: Collection[str]) -> Targets:
        """These without those of some labels."""
        rest = Targets(self._selected, self._hardware, self.roads)
        for at, target in enumerate(self):
            if target.label not in labels:
                rest.append(self._places[at], self._numbers[at])
        return rest

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Target:  # type: ignore[override]
        model, output = self._selected[self._places[number]]
        return Target(model, output, self._hardware[output.hardware], self.roads[self._numbers[number]])


def resolve(workspace: Workspace, selected: Sequence[tuple[Model, Output]]) -> Targets:
    """The road of every selected output.

    :raises MegbuildError: with every road or option that cannot be (MB201 to MB204), all at once.
    """
    problems: list[Problem] = []
    numbers: dict[tuple[object, ...], int] = {}
    roads: list[Road] = []
    targets = Targets(selected, workspace.hardware, roads)
    for place, (model, output) in enumerate(selected):
        try:
            wish = _wish(model, output)
            if wish not in numbers:
                roads.append(_target(workspace, model, output).road)
                numbers[wish] = len(roads) - 1
            targets.append(place, numbers[wish])
        except MegbuildError as error:
            problems += error.problems
    if problems:
        raise MegbuildError(tuple(problems))
    return targets


def _wish(model: Model, output: Output) -> tuple[object, ...]:
    """All that decides a road: outputs that wish the same share one, which spares time and memory."""
    options = ((name, type(value), value) for name, value in output.options.items())
    inherited = ((name, type(value), value) for name, value in output.inherited.items())
    way = (start_of(model), output.hardware, output.via, output.direct, output.embed)
    return (*way, tuple(options), tuple(inherited))


def resolve_form(workspace: Workspace, selected: Iterable[tuple[Model, Output]], form: str) -> Targets:
    """The road of every selected model to a format, whatever its outputs are.

    An output that a model declares for it is that target; else there is one of its own, named after the format.
    """
    made: dict[str, tuple[Model, Output]] = {}
    for model, _ in selected:
        declared = [o for o in model.outputs if workspace.hardware[o.hardware].format == form]
        taken = {output.name for output in model.outputs}
        name = form if form not in taken else f"{form}-archive"
        made[model.label] = (model, declared[0] if declared else Output(name, form, where=model.where))
    return resolve(workspace, tuple(made.values()))


def declared_actions(workspace: Workspace, model: Model) -> frozenset[str]:
    """The ids of the steps and measurements that a model declares, on the roads of all its outputs."""
    names: set[str] = set()
    for output in model.outputs:
        try:
            road = _target(workspace, model, output).road
        except MegbuildError:  # it was not asked for: whoever asks for it is told
            continue
        names |= {f"{model.label}#{step.name}{more}" for step in road for more in ("", "+measured")}
    return frozenset(names)


def _target(workspace: Workspace, model: Model, output: Output) -> Target:
    hardware = workspace.hardware[output.hardware]
    start = start_of(model)
    road = routes.shortest(
        workspace.rules, start, hardware.format, output.via, direct=output.direct, embed=output.embed
    )
    label = f"{model.label}@{output.name}"
    if road is None:
        via = f" through {', '.join(output.via)}" if output.via else ""
        there = ", ".join(routes.reachable(workspace.rules, start, direct=output.direct)) or "nothing"
        raise MegbuildError(
            (
                Problem(
                    "MB201",
                    f"{label}: no rule leads from {start} to {hardware.format}{via}",
                    f"from {start} the installed rules make {there}",
                    output.where,
                ),
            )
        )
    taken = {name for edge in road for name in edge.rule.options}
    spare = routes.refinements(workspace.rules, start, road)

    def wanted(rule: Rule) -> bool:
        """Whether an option of it is set that no step has, nor a refinement further on: a format is made int8 once."""
        own = {name: option for name, option in rule.options.items() if name not in taken}
        if all(_settled(name, option, hardware.options, output) == option.default for name, option in own.items()):
            return False
        taken.update(own)
        return True

    road = routes.refined(workspace.rules, start, road, wanted)
    return Target(model, output, hardware, steps(label, road, hardware.options, output, spare))


def _settled(name: str, option: Option, preset: Mapping[str, Scalar], output: Output) -> Scalar:
    """The value of an option before a later rule requires another."""
    return output.options.get(name, preset.get(name, output.inherited.get(name, option.default)))


def steps(
    label: str, road: routes.Road, preset: Mapping[str, Scalar], output: Output, spare: routes.Road = ()
) -> tuple[Step, ...]:
    """The road's steps with settled options; ``spare`` are rules that could be on it, whose options are known too.

    :raises MegbuildError: MB202 for an option that no step of this road has, takes, or takes beside the others, MB203 for one that the next
        step forbids, MB204 for one that the next step requires and this one does not have.
    """
    problems = _unknown(label, road, spare, output)
    settled: list[Step] = []
    for index, edge in enumerate(road):
        required, clashes = _required(label, road, index, spare, output)
        values: dict[str, Scalar] = {}
        for name, option in sorted(edge.rule.options.items()):
            value = required.get(name, _settled(name, option, preset, output))
            complaint = option.complaint(value)
            values[name] = float(value) if isinstance(option.default, float) and not complaint else value
            if complaint:
                problems.append(
                    Problem("MB202", f"{label}: {name} {complaint}", "", output.places.get(name, output.where))
                )
        problems += clashes
        if not problems and (clash := edge.rule.refuses(SimpleNamespace(**values))):
            place = next((output.places[name] for name in values if name in output.places), output.where)
            problems.append(Problem("MB202", f"{label}: {edge.name} cannot do that: {clash}", "", place))
        told = bool(settled) and (edge.rule.refines or settled[-1].rule.rule.refines)
        settled.append(Step(edge, tuple(values.items()), before=settled[-1] if told else None))
    if problems:
        raise MegbuildError(tuple(problems))
    return tuple(settled)


def _required(
    label: str, road: routes.Road, index: int, spare: routes.Road, output: Output
) -> tuple[dict[str, Scalar], list[Problem]]:
    """What the next rule requires of a step, and where that one only refines, the rule behind it; and what cannot be met.

    A rule that would refine the format and is not on the road leaves it as its defaults say.
    """
    edge, required, problems = road[index], dict[str, Scalar](), list[Problem]()
    refining = [rule for rule in spare if rule.rule.produces == edge.rule.produces]
    heard = {name for rule in refining if rule in road for name in rule.rule.options} | set(edge.rule.options)
    met = {(name, option.default) for rule in refining for name, option in rule.rule.options.items()}
    for asker in road[index + 1 :]:
        for name, value in asker.rule.requires.get(edge.rule.produces, {}).items():
            if not edge.rule.refines and name not in heard and (name, value) not in met:
                problems.append(_unheard(label, name, value, edge, asker, output))
            if name in edge.rule.options and output.options.get(name, value) != value:
                problems.append(_forbidden(label, name, value, edge, asker, output))
            required[name] = value
        if not asker.rule.refines:
            break
    return required, problems


def _unknown(label: str, road: routes.Road, spare: routes.Road, output: Output) -> list[Problem]:
    known = sorted({name for edge in (*road, *spare) for name in edge.rule.options})
    problems = []
    for name in output.options:
        if name in known:
            continue
        import difflib

        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"this road's options are: {', '.join(known) or 'none'}"
        way = " -> ".join(edge.name for edge in road) or "nothing to convert"
        problems.append(
            Problem(
                "MB202",
                f"{label}: no step of its road ({way}) has an option {name}",
                hint,
                output.places.get(name, output.where),
            )
        )
    return problems


def _forbidden(
    label: str, name: str, wanted: Scalar, edge: InstalledRule, asker: InstalledRule, output: Output
) -> Problem:
    return Problem(
        "MB203",
        f"{label}: {name} = {output.options[name]} contradicts {asker.name}, which needs its {edge.rule.produces} made with {name} = {wanted}",
        f"leave {name} out, or declare a second output for the {edge.rule.produces} itself",
        output.places.get(name, output.where),
    )


def _unheard(
    label: str, name: str, wanted: Scalar, edge: InstalledRule, asker: InstalledRule, output: Output
) -> Problem:
    message = f"{label}: {asker.name} needs its {edge.rule.produces} made with {name} = {wanted}, and {edge.name} has no option {name}"
    return Problem("MB204", message, "mend the rule that requires it", output.where)


def _word(name: str, value: Scalar) -> str:
    """An option in a step's name: a boolean by its name, a number with its name, a string by itself."""
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    text = value if isinstance(value, str) else f"{name}{value:g}"
    return "".join(c if c.isalnum() or c in "._" else "-" for c in text)


def side_road(workspace_rules: Sequence[InstalledRule], start: str, goal: str) -> tuple[Step, ...] | None:
    """The road, with default options, to something that a step needs beside its own input (a model's weights)."""
    road = routes.shortest(workspace_rules, start, goal)
    if road is None:
        return None
    return tuple(Step(edge, tuple(sorted((n, o.default) for n, o in edge.rule.options.items()))) for edge in road)
