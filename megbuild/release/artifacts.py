"""What a finished build made for a release: every artifact with all that its receiver wants to know of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from megbuild.declare.models import Model
from megbuild.execute.memory import Memory
from megbuild.execute.publish import RECORD, published_folder
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.analyse import Aim, Graph
from megbuild.graph.draft import GOLDEN, WEIGHTS
from megbuild.graph.plan import Planned
from megbuild.graph.stale import Verb
from megbuild.release.archive import Piece
from megbuild.release.reading import operators
from megbuild.store.content import Corrupt, Missing
from megbuild.store.digests import Digest, digest_bytes
from megbuild.verify.judge import DEFAULTS


@dataclass(frozen=True)
class Lock:
    """A lock of a toolchain, and where the bundle has it."""

    path: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Its digest."""
        return digest_bytes(self.content).sha256


@dataclass(frozen=True)
class Made:
    """One output as released. ``files`` and ``locks`` are by their paths in the bundle, the main file first."""

    aim: Aim
    files: Mapping[str, Digest]
    verdict: Mapping[str, Any]
    thresholds: Mapping[str, float]
    io: Mapping[str, Any]
    operators: Mapping[str, int] | None
    operators_of: str
    """The format that the operators are of: the artifact's own, or the nearest one before it that can be read."""
    locks: tuple[str, ...]
    actions: tuple[tuple[Action, str], ...]
    """Every action that it took, with its key."""

    @property
    def label(self) -> str:
        """Its label."""
        return self.aim.label

    @property
    def sources(self) -> Mapping[str, str]:
        """Every file of the workspace and of the rules that it was made from: SHA-256 of the bytes as written."""
        leaves = (entry for action, _ in self.actions for entry in action.inputs if isinstance(entry, Leaf))
        return {leaf.said: leaf.seen or leaf.digest.sha256 for leaf in leaves if leaf.kind != "request"}


@dataclass(frozen=True)
class Finished:
    """A finished build, as far as it came: what the plan found up to date, and what is remembered of it."""

    graph: Graph
    planned: tuple[Planned, ...]
    memory: Memory

    @property
    def done(self) -> frozenset[str]:
        """The actions whose results stand."""
        return frozenset(step.id for step in self.planned if step.decision.verb is Verb.KEEP)

    def lost(self, say: Callable[[str], None]) -> frozenset[str]:
        """Actions whose results a release reads and the store has no more, or only damaged: they have to be made again.

        :param say: hears which content was damaged; it has been removed.
        """

        def whole(digests: Iterable[Digest]) -> bool:
            found = True
            for digest in digests:
                try:
                    self.memory.content.check(digest)
                except Missing as error:
                    found = False
                    if isinstance(error, Corrupt):
                        say(str(error))
            return found

        gone = {
            action.id
            for aim in self.graph.aims
            if aim.label in self.done
            for action in self.graph.closure(aim.label)
            if (action.makes not in ("", WEIGHTS) or action.step in ("expected", "verdict"))
            and not whole(self.memory.last_outputs(action.id).values())
        }
        for aim in self.graph.aims:
            files = self.memory.published(aim.label).values()
            if not whole(Digest(file.sha256, file.stamp.size) for file in files):
                gone.add(aim.label)
        return frozenset(gone)


def made(finished: Finished, aim: Aim) -> Made:
    """One output; nothing that it reads may be :meth:`Finished.lost`."""
    memory, graph = finished.memory, finished.graph
    road = graph.closure(aim.label)
    keys = {step.id: step.now.key for step in finished.planned if step.now}
    folder = published_folder(aim)
    verdict = json.loads(memory.content.read(memory.last_outputs(aim.label)["verdict.json"]))
    published = _files(finished, aim)
    main = [f"{aim.target.model.name}{suffix}" for suffix in aim.files]
    names = [*main, *sorted(name for name in published if name not in main)]
    inside = PurePosixPath("artifacts", aim.target.hardware.name, *folder.parts[1:])
    made_by = memory.last_outputs(aim.artifact)
    counted, counted_of = _operators(finished, aim)
    return Made(
        aim=aim,
        files={str(inside / name): published[name] for name in names},
        verdict=verdict,
        thresholds=_thresholds(graph.actions[aim.label]),
        io=json.loads(memory.content.read(made_by["io.json"])) if "io.json" in made_by else {},
        operators=counted,
        operators_of=counted_of,
        locks=tuple(sorted({lock.path for lock in locks(graph, road)})),
        actions=tuple((action, keys[action.id]) for action in road),
    )


def _files(finished: Finished, aim: Aim) -> dict[str, Digest]:
    """The artifact's files under their published names, also of one that nobody declared and so is not published."""
    memory = finished.memory
    if aim.target.declared:
        found = {PurePosixPath(path).name: entry for path, entry in memory.published(aim.label).items()}
        return {name: Digest(entry.sha256, entry.stamp.size) for name, entry in found.items() if name != RECORD}
    made_by = memory.last_outputs(aim.artifact)
    return {f"{aim.target.model.name}{suffix}": made_by[f"artifact/model{suffix}"] for suffix in aim.files}


def _thresholds(verdict: Action) -> dict[str, float]:
    """The limits that it was judged by; of the defaults also those that a random sample would not be held to."""
    declared = {name[7:]: float(value) for name, value in verdict.options.items() if name.startswith("verify.")}
    precision = str(verdict.options.get("precision", ""))
    return dict(sorted({**DEFAULTS.get(precision, DEFAULTS[""]), **declared}.items()))


def _operators(finished: Finished, aim: Aim) -> tuple[Mapping[str, int] | None, str]:
    """The operators of an artifact, from the last step of its road whose format can be read."""
    memory, actions = finished.memory, finished.graph.actions
    steps = [action for action in finished.graph.closure(aim.artifact) if action.makes]
    for action in reversed(steps):
        for name in action.artifact:
            digest = memory.last_outputs(action.id)[f"artifact/{name}"]
            if (found := operators(name, memory.content.read(digest))) is not None:
                return found, actions[action.id].makes
    return None, ""


def locks(graph: Graph, road: Sequence[Action]) -> tuple[Lock, ...]:
    """The locks of every toolchain on a road, each once."""
    found: dict[str, Lock] = {}
    for action in road:
        toolchain = graph.toolchains.get(action.toolchain)
        for path in toolchain.locks if toolchain else ():
            content = Path(path).read_bytes()
            name = f"locks/{Path(path).parent.name}-{digest_bytes(content).sha256[:8]}.txt"
            found[name] = Lock(name, content)
    return tuple(found[name] for name in sorted(found))


def golden(finished: Finished, model: Model) -> dict[str, dict[str, Piece]]:
    """``inputs`` and ``results`` of a model's golden samples by tensor; nothing where no output of it was ever run."""
    memory = finished.memory
    for aim in finished.graph.aims:
        if aim.target.model is not model or not aim.measured or aim.label not in finished.done:
            continue
        for product in finished.graph.actions[aim.measured].products:
            outputs = memory.last_outputs(product.action)
            if any(path.startswith(f"{GOLDEN}/") for path in outputs):
                return {
                    kind: {
                        PurePosixPath(path).stem: piece(memory, digest)
                        for path, digest in outputs.items()
                        if path.startswith(f"{GOLDEN}/{kind}/")
                    }
                    for kind in ("inputs", "results")
                }
    return {}


def piece(memory: Memory, digest: Digest) -> Piece:
    """A content of the store as a file of a bundle."""
    return Piece(digest, memory.content.path(digest))
