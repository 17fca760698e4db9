"""Analyse: roads become actions. Two outputs that share a step share its action.

Per model the actions are ``#weights`` (training), ``#tm`` and the further formats of its roads, ``#expected`` (what
the .tm answers to the samples), one ``...+measured`` for every artifact that can run here, and one verdict per output,
whose id is the label itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import asdict

from megbuild.declare.models import Toolchain, Workspace
from megbuild.errors import MegbuildError, Problem
from megbuild.graph.actions import CORE, Action, Leaf, Product
from megbuild.graph.code import Code, Remembered, core_code
from megbuild.graph.conversion import begin, convert
from megbuild.graph.draft import (
    ARTIFACT,
    Draft,
    core_arguments,
)
from megbuild.graph.measuring import measure
from megbuild.graph.reference import reference_answer, runner_of
from megbuild.graph.resolve import Target
from megbuild.rule import Scalar
from megbuild.store.files import Files


class Aim(Struct, frozen=True):
    """A target with the actions that end in it: the artifact's, the measurement's ('' when it does not run here)."""

    target: Target
    artifact: str
    measured: str

    @property
    def label(self) -> str:
        """Also the id of the verdict's action."""
        return self.target.label

    @property
    def files(self) -> tuple[str, ...]:
        """The suffixes of the artifact's files."""
        return self.target.road[-1].rule.rule.files if self.target.road else (f".{self.target.form}",)


class Graph(Struct, frozen=True):
    """The actions by id, each after those it needs, and the aims they serve."""

    actions: Mapping[str, Action]
    aims: tuple[Aim, ...]
    toolchains: Mapping[str, Toolchain]

    def closure(self, id: str) -> tuple[Action, ...]:
        """An action with all that it needs, inputs first."""
        found: dict[str, Action] = {}

        def visit(name: str) -> None:
            if name not in found:
                for product in self.actions[name].products:
                    visit(product.action)
                found[name] = self.actions[name]

        visit(id)
        return tuple(found.values())


def analyse(
    workspace: Workspace,
    targets: Iterable[Target],
    environments: Mapping[str, Toolchain],
    files: Files,
    code: Code,
    remembered: Remembered | None = None,
    most: int = sys.maxsize,
) -> Iterator[Graph]:
    """The actions that make and verify ``targets``, as one graph or, beyond ``most`` actions, as several.

    The targets of a model stand together, and end up in one graph. There is always a graph, and no empty one beside others.

    :param environments: for every ``environment`` lock that a model names, MegEngine's toolchain with it added.
    :param code: where megbuild's own code lies that the results depend on.
    :param remembered: what earlier builds found out about that code.
    :raises MegbuildError: at the end, with everything that the models' own files make impossible (MB210 to MB214).
    """
    draft = Draft(
        workspace,
        files,
        code,
        core_code(files, code),
        {} if remembered is None else remembered,
        toolchains={**workspace.toolchains, **{t.name: t for t in environments.values()}},
    )
    aims: list[Aim] = []
    problems: list[Problem] = []
    last = ""
    for target in targets:
        if len(draft.actions) >= most and target.model.label != last:
            if not problems:
                yield Graph(draft.actions, tuple(aims), draft.toolchains)
            draft, aims = draft.fresh(), []
        last = target.model.label
        try:
            with files.looking_for(last):
                aims.append(_aim(draft, target, environments))
        except MegbuildError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise MegbuildError(tuple(problems))
    yield Graph(draft.actions, tuple(aims), draft.toolchains)


def _aim(draft: Draft, target: Target, environments: Mapping[str, Toolchain]) -> Aim:
    model = target.model
    for folder in model.searched:
        draft.files.listed(folder)
    environment = environments.get(model.environment)
    made = begin(draft, model)
    trail: list[str] = [made] if made else []
    for step in target.road:
        made = convert(draft, model, step, made, environment)
        trail.append(made)
    measured = ""
    if target.hardware.runs_here and _runs(draft, target):
        measured = measure(draft, target, made, reference_answer(draft, model, trail, environment))
    _verdict(draft, target, made, measured)
    return Aim(target, made, measured)


def _runs(draft: Draft, target: Target) -> bool:
    """Whether something on this machine runs the artifact; what wraps another's runs by its own rule or not at all."""
    last = target.road[-1].rule.rule if target.road else None
    if last and last.embeds and not last.runs_on:
        return False
    return runner_of(draft, target.form) is not None


def _verdict(draft: Draft, target: Target, made: str, measured: str) -> None:
    """The verdict of an output: thresholds and budget against the measures; computed by the core."""
    asked = {f"verify.{name}": value for name, value in asdict(target.output.verify).items() if value is not None}
    if target.output.budget.size_mb is not None:
        asked["budget.size_mb"] = target.output.budget.size_mb
    if target.hardware.runs_here is False:
        asked["not_run"] = f"{target.hardware.name} cannot run on the build machine"
    chosen = (dict(step.options).get("precision", "") for step in reversed(target.road))
    precision = next((value for value in chosen if value), "")
    options: dict[str, Scalar] = {**asked, "precision": precision}
    inputs: list[Leaf | Product] = [Product("in/artifact", made, ARTIFACT), *draft.core]
    if measured:
        inputs.append(Product("in/measures.json", measured, "measures.json"))
    draft.add(
        Action(
            id=target.label,
            step="verdict",
            summary=f"judge {target.label}",
            model=target.model.label,
            toolchain=CORE,
            inputs=tuple(inputs),
            outputs=("verdict.json",),
            arguments=core_arguments("verdict", options),
            options=options,
        )
    )
