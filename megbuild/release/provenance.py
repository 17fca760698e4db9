"""Where artifacts come from, as in-toto statements with SLSA provenance (both version 1).

Without times a statement depends on the sources alone and stands in the bundle; the times are added to the signed
copy. Paths, users, hosts and variables of this machine are never asked for, so none can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from megbuild import __version__
from megbuild.declare.models import Release
from megbuild.release.artifacts import Lock, Made
from megbuild.release.commit import Commit
from megbuild.release.packages import packages
from megbuild.release.verify import PROVENANCE, STATEMENT

BUILD = "urn:megbuild:build:v1"
"""What the parameters of an artifact's provenance mean: docs/releases.md."""
BUNDLE = "urn:megbuild:release:v1"
"""The same for the statement about a release as a whole."""
BUILDER = "urn:megbuild:local"

Statement = dict[str, Any]


def of_artifact(made: Made, release: Release, version: str, commit: Commit, locks: Mapping[str, Lock]) -> Statement:
    """The statement about the files of one artifact."""
    target = made.aim.target
    parameters = {
        "release": release.name,
        "version": version,
        "label": made.label,
        "hardware": target.hardware.name,
        "options": {name: value for step in target.road for name, value in step.options},
    }
    inner = {
        "road": [step.rule.name for step in target.road],
        "actions": [{"id": action.id, "key": key, "toolchain": action.toolchain} for action, key in made.actions],
    }
    needed = [
        _source(release, commit),
        *({"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(made.sources.items())),
        *({"name": name, "digest": {"sha256": locks[name].sha256}} for name in made.locks),
        *_packages([locks[name] for name in made.locks]),
    ]
    return _statement({path: digest.sha256 for path, digest in made.files.items()}, BUILD, parameters, inner, needed)


def keys(statements: Iterable[Statement]) -> dict[str, str]:
    """The keys of the actions that artifacts were made by, by their ids."""
    inner = (one["predicate"]["buildDefinition"]["internalParameters"] for one in statements)
    return {action["id"]: action["key"] for parameters in inner for action in parameters["actions"]}


def of_bundle(subjects: Mapping[str, str], release: Release, version: str, commit: Commit) -> Statement:
    """The statement about a release as a whole: its archives and its SHA256SUMS."""
    parameters = {"release": release.name, "version": version, "labels": list(release.labels)}
    return _statement(subjects, BUNDLE, parameters, {"commit": commit.id}, [_source(release, commit)])


def with_times(statement: Statement, begun: str, ended: str) -> Statement:
    """The statement with the times of the release, in ISO 8601, for the copy that is signed."""
    predicate = statement["predicate"]
    details = {**predicate["runDetails"], "metadata": {"startedOn": begun, "finishedOn": ended}}
    return {**statement, "predicate": {**predicate, "runDetails": details}}


def _statement(
    subjects: Mapping[str, str],
    build: str,
    parameters: Mapping[str, Any],
    inner: Mapping[str, Any],
    needed: Sequence[Mapping[str, Any]],
) -> Statement:
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects.items()],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": build,
                "externalParameters": dict(parameters),
                "internalParameters": dict(inner),
                "resolvedDependencies": [dict(one) for one in needed],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"megbuild": __version__}}},
        },
    }


def _source(release: Release, commit: Commit) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": "source", "digest": {"gitCommit": commit.id}}
    if release.repository:
        entry["uri"] = f"git+{release.repository}@{commit.id}"
    return entry


def _packages(locks: Sequence[Lock]) -> Iterator[dict[str, Any]]:
    """Every locked package. A lock may name several files of one package: any of them, then, by digest."""
    for lock in locks:
        for package in packages(lock.content.decode("utf-8")):
            entry: dict[str, Any] = {"name": package.url, "uri": package.url, "annotations": {"lock": lock.path}}
            if len(package.sha256) == 1:
                entry["digest"] = {"sha256": package.sha256[0]}
            else:
                entry["annotations"]["sha256"] = "one of " + " ".join(package.sha256)
            yield entry
