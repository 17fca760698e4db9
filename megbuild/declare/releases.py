"""The ``[releases.NAME]`` tables: which labels a bundle holds, and where its version comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from megbuild.declare.complaints import take
from megbuild.declare.files import Files
from megbuild.declare.hints import quoted
from megbuild.declare.labels import NAME, NAME_RULE, Pattern
from megbuild.declare.models import Release
from megbuild.declare.positions import Place
from megbuild.declare.schema import Paths, ReleaseTable
from megbuild.errors import MegbuildError, Problem

RESERVED = "verify"
"""A word that ``doit release`` takes for itself."""
FILE = "file:"
"""How a version begins that stands in a file."""


def release(
    name: str,
    raw: dict[str, Any],
    place: Place,
    package: str,
    files: Files,
    known: Mapping[str, Release],
    problems: list[Problem],
) -> Release | None:
    """The release that a table declares; None when it cannot be one. ``known`` are those of other packages."""
    if not NAME.fullmatch(name) or name == RESERVED:
        hint = NAME_RULE if name != RESERVED else "doit release verify checks a bundle"
        problems.append(Problem("MB107", f"{quoted(name)} cannot name a release", hint, place.key_of()))
        return None
    if name in known:
        message = f"//{known[name].package} has a release {name} already"
        problems.append(Problem("MB128", message, "names of releases differ in a workspace", place.key_of()))
        return None
    table = take(raw, ReleaseTable, place, problems)
    if table is None:
        return None
    version = table.version
    if version.startswith(FILE):
        version = FILE + files.file(version.removeprefix(FILE), package, place.at("version"))
    return Release(
        package=package,
        name=name,
        labels=_patterns(table.labels, place.at("labels"), package, problems),
        version=version,
        notes=files.file(table.notes, package, place.at("notes")) if table.notes else "",
        licences=files.data(table.licences, package, place.at("licences")) if table.licences else (),
        allow_not_run=_patterns(table.allow_not_run, place.at("allow_not_run"), package, problems),
        repository=table.repository,
        where=place.key_of(),
    )


def _patterns(given: Paths, place: Place, package: str, problems: list[Problem]) -> tuple[str, ...]:
    """Label patterns in full; a malformed one is a problem."""
    full: list[str] = []
    for number, text in enumerate((given,) if isinstance(given, str) else given):
        try:
            full.append(str(Pattern.parse(text, package, place if isinstance(given, str) else place.at(number))))
        except MegbuildError as error:
            problems.extend(error.problems)
    return tuple(full)
