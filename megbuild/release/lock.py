"""MODELS.lock: one line for every leaf that a workspace's models are made from, so that a change of one is seen in review.

A line is ``kind name sha256:digest``; lines are sorted, and nothing in the file depends on more than its own line, so
edits of different leaves merge. Kinds: ``archive`` and ``onnx`` (delivered files), ``pickle`` (delivered files and data
that are unpickled when they are read, and so are trusted), ``data`` (samples, labels, calibration, and files that
training code reads), ``environment`` (locks of training environments), ``toolchain`` (by the toolchain's digest),
``trusted`` (a name that MODELS.trust allows a pickle to look up, with the digest of that pickle).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from megbuild.declare import trust
from megbuild.declare.models import Model, Workspace
from megbuild.errors import FAILED, MegbuildError, Problem, fail
from megbuild.graph.resolve import resolve
from megbuild.store.files import Files

NAME = "MODELS.lock"
HEAD = "# Made by `doit lock`; checked in. One line a leaf: a change here is a change of what models are made from.\n"
PICKLES = (".tm", ".pkl", ".pickle", ".pt", ".pth")
_LINE = re.compile(r"(archive|onnx|pickle|data|environment|toolchain|trusted) (\S(?:.*\S)?) sha256:([0-9a-f]{64})")

Leaves = Mapping[str, str]
"""``kind name`` -> SHA-256."""


def leaves(workspace: Workspace, files: Files) -> dict[str, str]:
    """What is there now."""
    found = {
        f"{kind} {path}": _digest(files, path) for model in workspace.models for kind, path in _files(model, files)
    }
    targets = resolve(workspace, [(model, output) for model in workspace.models for output in model.outputs])
    rules = [step.rule.rule for target in targets for step in target.road]
    used = {name for rule in rules for name in (rule.toolchain, rule.run_toolchain) if name}
    found |= {f"toolchain {name}": workspace.toolchains[name].digest for name in used if name in workspace.toolchains}
    return dict(sorted((found | _trusted(Path(workspace.root))).items()))


def _trusted(root: Path) -> dict[str, str]:
    """A leaf for each reviewed exception. One file may have several, and a name may stand for several files."""
    return {f"trusted {known.name}@{known.sha256[:16]}": known.sha256 for known in trust.read(root)}


def _files(model: Model, files: Files) -> Iterator[tuple[str, str]]:
    for kind, pinned in (("archive", model.archive), ("onnx", model.onnx)):
        if pinned:
            yield _kind(kind, pinned.path), pinned.path
    patterns = (*model.samples, *model.calibration)
    data = {path for pattern in patterns for path in files.glob(pattern)} | {*model.data, model.labels} - {""}
    yield from ((_kind("data", path), path) for path in data)
    if model.environment:
        yield "environment", model.environment


def _kind(kind: str, path: str) -> str:
    return "pickle" if PurePosixPath(path).suffix in PICKLES else kind


def _digest(files: Files, path: str) -> str:
    digest = files.digest(path)
    if digest is None:
        raise fail("MB214", f"{path} is not there any more", "it was there when MODELS.toml was read: try again")
    return digest.sha256


def text(found: Leaves) -> str:
    """The file that says so."""
    return HEAD + "".join(f"{name} sha256:{digest}\n" for name, digest in sorted(found.items()))


def parse(content: str, name: str = NAME) -> dict[str, str]:
    """What a lock says; raises MB721 where it is not as ``doit lock`` writes it."""
    found: dict[str, str] = {}
    last = ""
    for number, line in enumerate(content.splitlines(), 1):
        if line.startswith("#") or not line:
            continue
        match = _LINE.fullmatch(line)
        key = f"{match[1]} {match[2]}" if match else ""
        if match is None or key <= last:
            why = "is no line of a lock" if match is None else "is not in order, or stands there twice"
            raise fail(
                "MB721", f"{name}:{number}: {line!r:.80} {why}", "doit lock --update, and review what it changes"
            )
        found[key], last = match[3], key
    return found


def differences(locked: Leaves, now: Leaves) -> tuple[str, ...]:
    """Every leaf that is not as locked, as a sentence."""
    told = []
    for name in sorted(locked.keys() | now.keys()):
        if name not in now:
            told.append(f"{name} is locked, and nothing uses it")
        elif name not in locked:
            told.append(f"{name} is not locked")
        elif locked[name] != now[name]:
            told.append(f"{name} is {now[name][:12]}, locked is {locked[name][:12]}")
    return tuple(told)


def check(root: Path, workspace: Workspace, files: Files) -> None:
    """Raises MB720 with every leaf that is not as MODELS.lock says, MB721 for a lock that was tampered with."""
    path = root / NAME
    if not path.is_file():
        raise fail("MB720", f"there is no {NAME}", "doit lock --update, and check it in")
    told = differences(parse(path.read_text("utf-8")), leaves(workspace, files))
    if told:
        hint = "find out why; if it is meant: doit lock --update, and check it in"
        last = len(told) - 1
        raise MegbuildError(tuple(Problem("MB720", t, hint if n == last else "") for n, t in enumerate(told)), FAILED)


def merge(base: Leaves, ours: Leaves, theirs: Leaves) -> tuple[dict[str, str], tuple[str, ...]]:
    """A three-way merge leaf by leaf, and the leaves that both sides changed differently: these stay as ours."""
    merged: dict[str, str] = {}
    clashes = []
    for name in sorted(base.keys() | ours.keys() | theirs.keys()):
        was, our, their = base.get(name), ours.get(name), theirs.get(name)
        if our != their and was not in (our, their):
            clashes.append(name)
        chosen = their if our == was else our
        if chosen is not None:
            merged[name] = chosen
    return merged, tuple(clashes)


def merged_text(merged: Leaves, clashes: Iterable[str], ours: Leaves, theirs: Leaves) -> str:
    """The merged lock; a leaf that clashes stands there as git marks a conflict, and so is no lock until it is settled."""
    lines = []
    for name in sorted({*merged, *clashes}):
        if name in clashes:
            sides = [f"{name} sha256:{side[name]}\n" if name in side else "" for side in (ours, theirs)]
            lines.append(f"<<<<<<< ours\n{sides[0]}=======\n{sides[1]}>>>>>>> theirs\n")
        else:
            lines.append(f"{name} sha256:{merged[name]}\n")
    return HEAD + "".join(lines)
