"""Withdrawing: artifacts of outputs that nobody declares any more leave ``out/``, so that no stale file is shipped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from megbuild.declare.labels import Label, Pattern
from megbuild.declare.models import Model
from megbuild.execute.memory import Memory
from megbuild.store.digests import digest_file, stamp
from megbuild.store.state import Published


def withdraw(memory: Memory, declared: Iterable[Model], asked: Sequence[Pattern], note: Callable[[str], None]) -> None:
    """Remove the published files of labels that were declared once.

    They stay in the store: declared again, they return. A file that somebody has edited since is theirs, and stays.

    :param declared: the models that are declared now.
    :param asked: what was asked for, whose declarations were all read: of other labels nothing is known.
    :param note: hears one line for each label.
    """
    table = memory.state.published
    lost = {name for name in table.names() if any(p.covers(Label.parse(name).package) for p in asked)}
    gone: list[str] = []
    for model in (model for model in declared if model.label in lost):
        lost.discard(model.label)
        outputs = {output.name for output in model.outputs}
        gone += [label for label in table.look(model.label) if label.partition("@")[2] not in outputs]
    gone += [label for model in lost for label in table.look(model)]
    for label in sorted(label for label in gone if any(p.matches(Label.parse(label)) for p in asked)):
        files = memory.published(label)
        ours = [path for path, published in files.items() if _untouched(memory.root / path, published)]
        for path in ours:
            (memory.root / path).unlink()
        _remove_empty_folders(memory.root, {path.rpartition("/")[0] for path in ours})
        kept = [path for path in sorted(files) if (memory.root / path).exists()]
        note(f"{label} is not declared any more: {_told(len(ours), kept)}")
        for known in (memory.state.published, memory.state.built, memory.state.told):
            known.pop(label, None)
        for path in files:
            memory.state.known.pop(path, None)


def _told(removed: int, kept: list[str]) -> str:
    said = (
        f"{removed} file{'s were' if removed != 1 else ' was'} removed from out/" if removed else "nothing was removed"
    )
    return f"{said}; changed since they were made, and kept: {', '.join(kept)}" if kept else said


def _untouched(file: Path, published: Published) -> bool:
    try:
        return stamp(file) == published.stamp or digest_file(file).sha256 == published.sha256
    except OSError:  # it is gone, or not ours to judge
        return False


def _remove_empty_folders(root: Path, folders: Collection[str]) -> None:
    """Remove folders below ``out/`` that hold nothing, from the innermost on."""
    for folder in folders:
        while "/" in folder:
            with suppress(OSError):  # something is in it
                (root / folder).rmdir()
            folder = folder.rpartition("/")[0]
