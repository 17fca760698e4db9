"""The report of a build: one row per label, as the final table and the summary file show it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from megbuild.execute.builder import Done
from megbuild.execute.failure import ActionFailed
from megbuild.execute.memory import Memory
from megbuild.execute.publish import RECORD, artifact_files, published_folder
from megbuild.graph.actions import Action
from megbuild.graph.analyse import Aim, Graph
from megbuild.graph.stale import Verb
from megbuild.store.shelf import Shelf

FAILED, REFUSED, SKIPPED = "failed", "refused", "not reached"


@dataclass(frozen=True)
class Row:
    """One label: its artifact, how it was verified, and what this build did for it.

    ``status`` is built, restored, up to date, failed, refused or not reached; ``reason`` says why where it was not
    simply up to date. ``seconds`` is the time that this build spent on the label's own road, ``size`` in bytes.
    """

    label: str
    status: str
    artifact: str = ""
    sha256: str = ""
    size: int = 0
    runtime: str = ""
    verdict: str = ""
    samples: int = 0
    accuracy: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)


class Rows(Sequence[Row]):
    """The rows of a build in the order of declaration, whatever was finished first; they wait in a file until they are read."""

    def __init__(self, folder: Path) -> None:
        self._shelf: Shelf[tuple[Row, ...]] = Shelf(folder)
        self._places: dict[int, int] = {}
        self._count = 0

    def put(self, slice: int, rows: tuple[Row, ...]) -> None:
        """Add those of a slice, once."""
        self._places[slice] = self._shelf.put(rows)
        self._count += len(rows)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for slice in sorted(self._places):
            yield from self._shelf.get(self._places[slice])

    def __getitem__(self, number: int) -> Row:  # type: ignore[override]
        return next(islice(self, range(self._count)[number], None))


def rows(graph: Graph, done: Mapping[str, Done], failed: Mapping[str, ActionFailed], memory: Memory) -> tuple[Row, ...]:
    """The rows of every declared aim, in the order of declaration."""
    return tuple(_row(aim, graph, done, failed, memory) for aim in graph.aims if aim.target.declared)


def _row(aim: Aim, graph: Graph, done: Mapping[str, Done], failed: Mapping[str, ActionFailed], memory: Memory) -> Row:
    road = graph.closure(aim.label)
    ran = [done[action.id] for action in road if action.id in done]
    seconds = round(sum(step.seconds for step in ran), 3)
    if aim.label not in done:
        return _unfinished(aim, road, failed, seconds)
    files = artifact_files(aim)
    # Not from the store, which a user may have emptied: what stands in the workspace needs nothing of it.
    verdict = json.loads((memory.root / published_folder(aim) / RECORD).read_text())["verdict"]
    published = memory.published(aim.label)
    status, reasons = _status(aim, done)
    return Row(
        label=aim.label,
        status=status,
        artifact=files[0],
        sha256=published[files[0]].sha256,
        size=sum(published[path].stamp.size for path in files),
        runtime=verdict["runtime"],
        verdict=verdict["state"],
        samples=verdict["samples"],
        accuracy=verdict["accuracy"],
        metrics=verdict["metrics"] or {},
        reason="; ".join([*reasons, *([verdict["reason"]] if verdict["reason"] else [])]),
        seconds=seconds,
        files={path: entry.sha256 for path, entry in sorted(published.items())},
    )


def _status(aim: Aim, done: Mapping[str, Done]) -> tuple[str, list[str]]:
    """What happened to the artifact; a verdict that was only judged again leaves it up to date, and says why."""
    steps = [done[id] for id in (aim.artifact, aim.label) if id in done]
    made = done.get(aim.artifact)
    reasons = [str(reason) for step in steps for reason in step.reasons]
    if made and made.verb is Verb.RUN:
        return Verb.RUN.value, reasons
    placed = set(artifact_files(aim)).intersection(done[aim.label].placed)
    if placed or any(step.verb is Verb.RESTORE for step in steps):
        return Verb.RESTORE.value, reasons
    return Verb.KEEP.value, reasons


def _unfinished(aim: Aim, road: tuple[Action, ...], failed: Mapping[str, ActionFailed], seconds: float) -> Row:
    for action in road:
        if action.id in failed:
            failure = failed[action.id]
            reason = failure.message if action.id == aim.label else f"{action.id}: {failure.message}"
            return Row(aim.label, REFUSED if failure.refused else FAILED, reason=reason, seconds=seconds)
    return Row(aim.label, SKIPPED, reason="the build stopped before it", seconds=seconds)


def as_json(table: Iterable[Row], seconds: float) -> str:
    """The summary file: the table as JSON."""
    document: dict[str, Any] = {"format": 1, "seconds": round(seconds, 3), "outputs": [asdict(row) for row in table]}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
