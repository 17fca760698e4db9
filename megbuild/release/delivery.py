"""The folder that a researcher hands to an engineer: the .tm with all that is needed to deploy and to check it.

What it holds follows from the model and the commit, so a second delivery of them is the same, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from megbuild import __version__
from megbuild.declare.models import Model, Tensor
from megbuild.graph.actions import Leaf
from megbuild.graph.analyse import Aim
from megbuild.release.archive import Piece
from megbuild.release.artifacts import Finished, Made, golden, locks, made, piece
from megbuild.release.bundle import as_json, sums, tensor_entry, toolchains
from megbuild.release.commit import Commit
from megbuild.release.packages import packages
from megbuild.release.verify import SUMS

DELIVERY = "archive.json"
"""The file that says what a delivered folder holds; a folder with it may be delivered to again."""
PIN = "pin.toml"
"""The lines of MODELS.toml that pin the folder. Not called MODELS.toml: that would make a package of the folder."""
FORMAT = 1


def deliver(finished: Finished, aim: Aim, folder: str, commit: Commit) -> dict[str, Piece]:
    """The files of the folder by their paths in it.

    :param folder: the folder's own name: the pinning lines lead into it from beside it.
    """
    model, one = aim.target.model, made(finished, aim)
    (network,) = (digest for path, digest in one.files.items() if path.endswith(".tm"))
    tm = f"{model.name}.tm"
    results = tuple(_settled(tensor, one) for tensor in model.results)
    pieces = {tm: piece(finished.memory, network)}
    shared = {
        "samples": _files(finished, aim, "in/samples/", "samples"),
        "calibration": _declared(finished, model.calibration, "calibration"),
        "labels": {"labels.npy": _of_workspace(finished, model.labels)} if model.labels else {},
        "expected": _expected(finished, aim),
    }
    for files in shared.values():
        pieces |= files
    for kind, tensors in golden(finished, model).items():
        pieces |= {f"golden/{kind}/{tensor}.npy": content for tensor, content in tensors.items()}
    for lock in locks(finished.graph, [action for action, _ in one.actions]):
        pieces[lock.path] = Piece.of(lock.content)
    pieces[PIN] = Piece.of(pin(model, results, folder, network.sha256, {k: bool(v) for k, v in shared.items()}))
    pieces[DELIVERY] = Piece.of(
        as_json(
            {
                "format": FORMAT,
                "model": model.label,
                "tm": {"path": tm, "sha256": network.sha256, "size": network.size},
                "inputs": [{**tensor_entry(tensor), "range": list(tensor.range)} for tensor in model.inputs],
                "results": [tensor_entry(tensor) for tensor in results],
                **{kind: sorted(files) for kind, files in shared.items()},
                "operators": dict(one.operators or {}),
                "verdict": dict(one.verdict),
                "versions": _versions(finished, one),
                "toolchains": toolchains(finished, [one]),
                "commit": {"id": commit.id, "changed": list(commit.changed)},
                "sources": dict(sorted(one.sources.items())),
            }
        )
    )
    pieces[SUMS] = Piece.of(sums(pieces))
    return pieces


def pin(model: Model, results: Iterable[Tensor], folder: str, sha256: str, has: Mapping[str, bool]) -> bytes:
    """The lines of a MODELS.toml beside the folder that start a model from it; its outputs are for the receiver to declare."""
    inputs = [f"{_tensor(tensor)}, range = [{tensor.range[0]!r}, {tensor.range[1]!r}]" for tensor in model.inputs]
    lines = [
        f"[models.{_key(model.name)}]",
        f"archive     = {{ path = {_text(f'{folder}/{model.name}.tm')}, sha256 = {_text(sha256)} }}",
        f"inputs      = [{', '.join(f'{{ {tensor} }}' for tensor in inputs)}]",
        f"results     = [{', '.join(f'{{ {_tensor(tensor)} }}' for tensor in results)}]",
    ]
    lines += [f"samples     = {_text(f'{folder}/samples/*')}"] if has["samples"] else []
    lines += [f"labels      = {_text(f'{folder}/labels.npy')}"] if has["labels"] else []
    lines += [f"calibration = {_text(f'{folder}/calibration/*')}"] if has["calibration"] else []
    return ("\n".join(lines) + "\n").encode()


def _tensor(tensor: Tensor) -> str:
    dtype = f", dtype = {_text(tensor.dtype)}" if tensor.dtype else ""
    return f"name = {_text(tensor.name)}, shape = {list(tensor.shape)}{dtype}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # the escapes of JSON are TOML's


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else _text(name)


def _settled(declared: Tensor, one: Made) -> Tensor:
    """A declared result with the type that the .tm gives where the declaration leaves it open."""
    types = {entry["name"]: entry["dtype"] for entry in one.io.get("results", ())}
    return Tensor(declared.name, declared.shape, declared.dtype or types.get(declared.name, ""))


def _files(finished: Finished, aim: Aim, below: str, to: str) -> dict[str, Piece]:
    """The files of the workspace that the measurement reads below a folder."""
    inputs = finished.graph.actions[aim.measured].inputs if aim.measured else ()
    leaves = {entry.said for entry in inputs if isinstance(entry, Leaf) and entry.path.startswith(below)}
    return _named(finished, sorted(leaves), to)


def _declared(finished: Finished, patterns: Iterable[str], to: str) -> dict[str, Piece]:
    """The files of the workspace that globs match."""
    paths = sorted({path for pattern in patterns for path in finished.memory.files.glob(pattern)})
    return _named(finished, paths, to)


def _named(finished: Finished, paths: list[str], to: str) -> dict[str, Piece]:
    """Files in one folder, in an order by their new names that is the order of their paths: labels go by it."""
    names = [PurePosixPath(path).name for path in paths]
    if names != sorted(set(names)):
        names = [f"{number:05}-{name}" for number, name in enumerate(names)]
    return {f"{to}/{name}": _of_workspace(finished, path) for name, path in zip(names, paths, strict=True)}


def _of_workspace(finished: Finished, path: str) -> Piece:
    digest = finished.memory.files.digest(path)
    assert digest is not None, path  # the build that has just ended read it
    return Piece(digest, finished.memory.root / path)


def _expected(finished: Finished, aim: Aim) -> dict[str, Piece]:
    """What the reference gives for every sample, by result."""
    for product in finished.graph.actions[aim.measured].products if aim.measured else ():
        outputs = finished.memory.last_outputs(product.action)
        if found := {path: digest for path, digest in outputs.items() if path.startswith("results/")}:
            return {f"expected/{PurePosixPath(p).name}": piece(finished.memory, d) for p, d in found.items()}
    return {}


def _versions(finished: Finished, one: Made) -> dict[str, Any]:
    """megbuild, what ran the .tm, and every package that made it."""
    pinned = {
        package.name: package.version
        for lock in locks(finished.graph, [action for action, _ in one.actions])
        for package in packages(lock.content.decode())
    }
    return {"megbuild": __version__, "runtime": one.verdict["runtime"], "packages": dict(sorted(pinned.items()))}
