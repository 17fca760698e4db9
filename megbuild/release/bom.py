"""The bill of materials of a release: CycloneDX 1.6 with a model card for each model."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from megbuild import __version__
from megbuild.declare.models import Model, Tensor
from megbuild.release.artifacts import Lock, Made
from megbuild.release.packages import packages

_SPACE = uuid.UUID("6f0e2b0a-2b58-4a4e-9a0b-6d6567627564")
"""Of the serial numbers: they follow from the contents, so that equal releases have equal ones."""


def bill(
    name: str, version: str, commit: str, artifacts: Sequence[Made], locks: Mapping[str, Lock], licences: Sequence[str]
) -> dict[str, Any]:
    """The document; no time is in it."""
    models = {made.aim.target.model.label: made.aim.target.model for made in artifacts}
    by_model = {label: [made for made in artifacts if made.aim.target.model.label == label] for label in models}
    libraries = {package.url: package for lock in locks.values() for package in packages(lock.content.decode("utf-8"))}
    files = [f"{digest.sha256} {path}" for made in artifacts for path, digest in made.files.items()]
    serial = uuid.uuid5(_SPACE, "\n".join([name, version, commit, *files]))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "megbuild", "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": "release",
                "name": name,
                "version": version,
                **({"licenses": [{"license": {"name": path}} for path in licences]} if licences else {}),
                "properties": [{"name": "megbuild:commit", "value": commit}],
            },
        },
        "components": [
            *(_model(models[label], version, by_model[label]) for label in sorted(models)),
            *(_library(libraries[url].name, libraries[url].version, url) for url in sorted(libraries)),
        ],
        "dependencies": [
            {"ref": "release", "dependsOn": sorted(models)},
            *(
                {"ref": made.label, "dependsOn": sorted({p.url for path in made.locks for p in _pinned(locks[path])})}
                for made in sorted(artifacts, key=lambda made: made.label)
            ),
        ],
    }


def _pinned(lock: Lock) -> Any:
    return packages(lock.content.decode("utf-8"))


def _model(model: Model, version: str, artifacts: Sequence[Made]) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": model.label,
        "name": model.name,
        "group": model.package,
        "version": version,
        "components": [_artifact(made, version) for made in sorted(artifacts, key=lambda made: made.label)],
        "modelCard": {
            "modelParameters": {
                "inputs": [{"format": _said(tensor)} for tensor in model.inputs],
                "outputs": [{"format": _said(tensor)} for tensor in model.results],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    {"type": metric, "value": f"{value:.9g}", "slice": made.label}
                    for made in sorted(artifacts, key=lambda made: made.label)
                    for metric, value in sorted(_metrics(made).items())
                ]
            },
        },
    }


def _metrics(made: Made) -> dict[str, float]:
    accuracy = made.verdict.get("accuracy")
    return {**(made.verdict.get("metrics") or {}), **({} if accuracy is None else {"accuracy": accuracy})}


def _artifact(made: Made, version: str) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": made.label,
        "name": f"{made.aim.target.model.name}@{made.aim.target.output.name}",
        "version": version,
        "components": [
            {
                "type": "file",
                "bom-ref": path,
                "name": path,
                "hashes": [{"alg": "SHA-256", "content": digest.sha256}],
            }
            for path, digest in made.files.items()
        ],
        "properties": [
            {"name": "megbuild:hardware", "value": made.aim.target.hardware.name},
            {"name": "megbuild:verdict", "value": made.verdict["state"]},
        ],
    }


def _library(name: str, version: str, url: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url, "scope": "excluded"}


def _said(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.dtype or 'any'}{list(tensor.shape)}"
