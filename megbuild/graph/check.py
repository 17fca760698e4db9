"""Check: what can be refused before anything runs, from the declaration alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from megbuild.declare.models import Sdk, Toolchain
from megbuild.errors import MegbuildError, Problem
from megbuild.graph.resolve import Target


def check(targets: Iterable[Target]) -> None:
    """Refuse what cannot end well.

    :raises MegbuildError: MB220 for a threshold on accuracy where no labels are declared.
    """
    problems = []
    for target in targets:
        model, verify = target.model, target.output.verify
        if (verify.accuracy is not None or verify.accuracy_drop is not None) and not (model.labels and model.samples):
            problems.append(
                Problem(
                    "MB220",
                    f"{target.label}: verify asks for accuracy, but the model declares no labelled samples",
                    'add samples = "digits/*.npy" and labels = "labels.npy" (the class of each sample) to the model',
                    target.output.where,
                )
            )
    if problems:
        raise MegbuildError(tuple(problems))


def without_sdk(
    targets: Iterable[Target], toolchains: Mapping[str, Toolchain]
) -> tuple[frozenset[str], tuple[Problem, ...]]:
    """The labels that this machine lacks an SDK for, and MB333 for every such SDK with the labels it is needed for."""
    needed: dict[str, tuple[Sdk, list[Target]]] = {}
    for target in targets:
        names = {name for step in target.road for name in (step.rule.rule.toolchain, step.rule.rule.run_toolchain)}
        for toolchain in (toolchains[name] for name in sorted(names) if name in toolchains):
            for sdk in (sdk for sdk in toolchain.sdks if sdk.trouble):
                needed.setdefault(sdk.name, (sdk, []))[1].append(target)
    problems = [_missing(sdk, waiting) for sdk, waiting in needed.values()]
    return frozenset(t.label for _, waiting in needed.values() for t in waiting), tuple(problems)


def _missing(sdk: Sdk, waiting: list[Target]) -> Problem:
    labels = ", ".join(target.label for target in waiting)
    message = f"{sdk.name} is not on this machine: {sdk.trouble}"
    return Problem("MB333", message, f"{sdk.install}; with -k all is built but {labels}", waiting[0].output.where)
