"""A bundle: every file that a release hands over, by its name in the archive. Nothing in it depends on time or place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from megbuild import __version__
from megbuild.declare.models import Model, Release, Tensor
from megbuild.release import bom, provenance, verify
from megbuild.release.archive import Piece
from megbuild.release.artifacts import Finished, Made, golden, locks, made, piece
from megbuild.release.commit import Commit
from megbuild.release.conditions import Exemption
from megbuild.release.readme import readme

LICENCES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*")
"""Files that are taken for licences, in the packages of the models and above, where a release names none."""


@dataclass(frozen=True)
class Bundle:
    """The files by their names below the archive's one folder, and the statements about the artifacts by label."""

    name: str
    version: str
    pieces: Mapping[str, Piece]
    statements: Mapping[str, provenance.Statement]

    @property
    def folder(self) -> str:
        """The one folder in the archive, and how the archive is called."""
        return f"{self.name}-{self.version}"

    def packed(self) -> dict[str, Piece]:
        """The files as the archive has them."""
        return {f"{self.folder}/{name}": content for name, content in self.pieces.items()}


def assemble(
    finished: Finished, root: Path, release: Release, version: str, commit: Commit, exempt: Sequence[Exemption]
) -> Bundle:
    """The bundle of the outputs that were made."""
    aims = [aim for aim in finished.graph.aims if aim.label in finished.done]
    artifacts = sorted((made(finished, aim) for aim in aims), key=lambda one: one.label)
    known = {lock.path: lock for one in artifacts for lock in locks(finished.graph, [a for a, _ in one.actions])}
    models = {one.aim.target.model.label: one.aim.target.model for one in artifacts}
    licences = licences_of(root, release, models.values())
    pieces: dict[str, Piece] = {path: Piece.of(lock.content) for path, lock in known.items()}
    pieces |= {path: piece(finished.memory, digest) for one in artifacts for path, digest in one.files.items()}
    pieces |= {f"licences/{path}": Piece.of((root / path).read_bytes()) for path in licences}
    notes = "NOTES" + PurePosixPath(release.notes).suffix if release.notes else ""
    if notes:
        pieces[notes] = Piece.of((root / release.notes).read_bytes())
    samples = {label: golden(finished, models[label]) for label in sorted(models)}
    for label, kinds in samples.items():
        for kind, tensors in kinds.items():
            pieces |= {_golden_path(label, kind, tensor): content for tensor, content in tensors.items()}
    statements = {one.label: provenance.of_artifact(one, release, version, commit, known) for one in artifacts}
    pieces |= {_statement_path(one): Piece.of(as_json(statements[one.label])) for one in artifacts}
    manifest = {
        "format": verify.FORMAT,
        "name": release.name,
        "version": version,
        "commit": commit.id,
        "folder": commit.folder,
        "labels": list(release.labels),
        "megbuild": __version__,
        "allowed": [asdict(one) for one in exempt],
        "artifacts": [_artifact(one) for one in artifacts],
        "models": [_model(models[label], samples[label]) for label in sorted(models)],
        "toolchains": toolchains(finished, artifacts),
        "licences": [f"licences/{path}" for path in licences],
        "notes": notes,
    }
    pieces["bom.cdx.json"] = Piece.of(
        as_json(bom.bill(release.name, version, commit.id, artifacts, known, [f"licences/{path}" for path in licences]))
    )
    pieces[verify.MANIFEST] = Piece.of(as_json(manifest))
    pieces["README.md"] = Piece.of(readme(manifest).encode())
    pieces["verify.py"] = Piece.of(Path(verify.__file__).read_bytes(), executable=True)
    pieces[verify.SUMS] = Piece.of(sums(pieces))
    return Bundle(release.name, version, pieces, statements)


def sums(pieces: Mapping[str, Piece]) -> bytes:
    """``SHA256SUMS`` of files, in the order of their names."""
    names = sorted(pieces, key=lambda name: name.encode())
    return "".join(f"{pieces[name].digest.sha256}  {name}\n" for name in names).encode()


def as_json(value: Any) -> bytes:
    """A JSON file that depends on the value alone."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _statement_path(one: Made) -> str:
    model = one.aim.target.model
    return str(PurePosixPath("provenance", model.package, model.name, f"{one.aim.target.output.name}.json"))


def _golden_path(label: str, kind: str, tensor: str) -> str:
    package, _, model = label.removeprefix("//").partition(":")
    return str(PurePosixPath("golden", package, model, kind, f"{tensor}.npy"))


def _artifact(one: Made) -> dict[str, Any]:
    target = one.aim.target
    return {
        "label": one.label,
        "model": target.model.label,
        "hardware": target.hardware.name,
        "device": target.hardware.summary,
        "format": target.form,
        "files": [{"path": path, "sha256": d.sha256, "size": d.size} for path, d in one.files.items()],
        "io": dict(one.io),
        "options": {name: value for step in target.road for name, value in step.options},
        "road": [step.rule.name for step in target.road],
        "verdict": dict(one.verdict),
        "thresholds": dict(one.thresholds),
        "operators": None if one.operators is None else dict(one.operators),
        "operators_of": one.operators_of,
        "provenance": _statement_path(one),
        "locks": list(one.locks),
    }


def _model(model: Model, samples: Mapping[str, Mapping[str, Piece]]) -> dict[str, Any]:
    return {
        "label": model.label,
        "inputs": [{**tensor_entry(tensor), "range": list(tensor.range)} for tensor in model.inputs],
        "results": [tensor_entry(tensor) for tensor in model.results],
        "golden": {
            kind: {tensor: _golden_path(model.label, kind, tensor) for tensor in tensors}
            for kind, tensors in samples.items()
        },
    }


def tensor_entry(tensor: Tensor) -> dict[str, Any]:
    """A declared input or result as JSON has it."""
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}


def toolchains(finished: Finished, artifacts: Sequence[Made]) -> list[dict[str, Any]]:
    """Every toolchain that made the artifacts, with its locks."""
    used = {action.toolchain: [action] for one in artifacts for action, _ in one.actions if action.toolchain}
    return [
        {
            "name": name,
            "digest": finished.graph.toolchains[name].digest,
            "python": finished.graph.toolchains[name].python,
            "locks": [{"path": lock.path, "sha256": lock.sha256} for lock in locks(finished.graph, used[name])],
        }
        for name in sorted(used)
    ]


def licences_of(root: Path, release: Release, models: Iterable[Model]) -> tuple[str, ...]:
    """The licences that a release carries, by their paths in the workspace."""
    if release.licences:
        return tuple(sorted(release.licences))
    folders = {PurePosixPath(model.package) for model in models}
    folders |= {above for folder in folders for above in folder.parents}
    found = {
        path.relative_to(root).as_posix()
        for folder in folders
        for pattern in LICENCES
        for path in (root / folder).glob(pattern)
        if path.is_file()
    }
    return tuple(sorted(found))
