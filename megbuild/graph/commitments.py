"""Keys out of the graph: where an option names a key, a commitment to it is all that is known from here on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from megbuild.declare import secrets
from megbuild.errors import MegbuildError, Problem
from megbuild.graph.resolve import Step, Target, Targets


def committed(targets: Targets, root: Path) -> Sequence[Target]:
    """The targets with a commitment in place of every option that names a key.

    :raises MegbuildError: with everything that is wrong with the keys, all at once.
    """
    if not any(step.rule.rule.secrets for road in targets.roads for step in road):
        return targets
    found: list[Target] = []
    problems: list[Problem] = []
    for target in targets:
        try:
            found.append(_committed(target, root))
        except MegbuildError as error:
            problems += error.problems
    if problems:
        raise MegbuildError(tuple(problems))
    return tuple(found)


def _committed(target: Target, root: Path) -> Target:
    if not any(step.rule.rule.secrets for step in target.road):
        return target
    return replace(target, road=tuple(_step(step, target, root) for step in target.road))


def _step(step: Step, target: Target, root: Path) -> Step:
    named = {name: str(dict(step.options)[name]) for name in step.rule.rule.secrets if dict(step.options)[name]}
    if not named:
        return step
    places = {name: target.output.places.get(name, target.output.where) for name in named}
    known = {name: secrets.commitment(secrets.key_of(named[name], root, places[name])) for name in named}
    options = tuple((name, known.get(name, value)) for name, value in step.options)
    return replace(step, options=options, secrets=tuple(named.items()))
