"""What a release asks of its sources and artifacts. What is not kept refuses it, or is said in its manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from megbuild.declare.labels import Label, Pattern
from megbuild.declare.models import Release
from megbuild.declare.releases import FILE
from megbuild.errors import FAILED, MegbuildError, Problem, fail
from megbuild.release.commit import Commit

TAG = "tag:"
"""How a version begins that is the rest of a tag."""
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_SHOWN = 20
"""Changed files that an error lists."""


@dataclass(frozen=True)
class Allowed:
    """What the user lets pass for this release."""

    dirty: bool = False
    failed: bool = False
    not_run: bool = False


@dataclass(frozen=True)
class Exemption:
    """Something that was let pass: what, and each thing that it is about."""

    what: str
    why: tuple[str, ...]


def check(
    release: Release, commit: Commit, failed: Mapping[str, str], not_run: Mapping[str, str], allowed: Allowed
) -> tuple[Exemption, ...]:
    """What is let pass for a release; everything else that is wrong is one error with the whole list.

    :param failed: the labels that have no artifact, with the reason.
    :param not_run: the labels whose artifact was never run, with the reason.
    :raises MegbuildError: MB703 for sources that are not a commit, MB704 for failed labels, MB705 for those not run.
    """
    problems: list[Problem] = []
    passed: list[Exemption] = []
    declared = {label: why for label, why in not_run.items() if _declared(release, label)}
    others = {label: why for label, why in not_run.items() if label not in declared}
    for found, permitted, code, what, hint in (
        (dict.fromkeys(commit.changed, ""), allowed.dirty, "MB703", "the sources are not those of a commit", "dirty"),
        (failed, allowed.failed, "MB704", "outputs failed and are left out", "failed"),
        (others, allowed.not_run, "MB705", "outputs were not run", "not-run"),
    ):
        told = tuple(f"{name}: {why}" if why else name for name, why in sorted(found.items()))
        if told and permitted:
            passed.append(Exemption(what, told))
        elif told and code == "MB703":
            more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
            message = f"{what}: {', '.join(told[:_SHOWN])}{more}"
            problems.append(Problem(code, message, f"commit them, or release with --allow-{hint}"))
        else:
            problems += [Problem(code, line, f"mend it, or release with --allow-{hint}") for line in told]
    if declared:
        told = tuple(f"{label}: {why}" for label, why in sorted(declared.items()))
        passed.append(Exemption("outputs were not run, as declared", told))
    if problems:
        raise MegbuildError(tuple(problems), FAILED)
    return tuple(passed)


def _declared(release: Release, label: str) -> bool:
    return any(Pattern.parse(text).matches(Label.parse(label)) for text in release.allow_not_run)


def version_of(release: Release, given: str, root: Path, commit: Commit) -> str:
    """The version to release: as given, or from where the release says; raises MB706 when there is none."""
    said = given or release.version
    if said.startswith(FILE):
        said = ((root / said.removeprefix(FILE)).read_text("utf-8").splitlines() or [""])[0].strip()
    elif said.startswith(TAG):
        prefix = said.removeprefix(TAG)
        found = [tag.removeprefix(prefix) for tag in commit.tags if tag.startswith(prefix)]
        if len(found) != 1:
            message = f"{len(found)} tags of the commit begin with {prefix!r}, one is wanted"
            raise fail("MB706", message, f"git tag {prefix}1.0.0, or give --version", release.where)
        (said,) = found
    if not said:
        raise fail(
            "MB706", f"the release {release.name} has no version", "give --version, or declare one", release.where
        )
    if not VERSION.fullmatch(said):
        raise fail("MB706", f"{said!r} cannot be a version", "letters, digits and . _ + ! -", release.where)
    return said
