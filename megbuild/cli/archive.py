"""``doit archive LABEL``: a model's .tm and all that an engineer needs to deploy and check it, in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.build import JOBS
from megbuild.cli.command import Command
from megbuild.errors import FAILED, fail

if TYPE_CHECKING:
    from megbuild.release.archive import Piece

TO = {
    "name": "to",
    "short": "",
    "long": "to",
    "type": str,
    "default": "",
    "help": "the folder to write [default: dist/MODEL at the root of the workspace]",
}


class Archive(Command):
    """The command plug-in."""

    name = "archive"
    doc_purpose = "deliver a model as a .tm with samples and expected results, and print the lines that pin it"
    doc_usage = "LABEL [--to FOLDER]"
    doc_description = (
        "LABEL: //package:model. The receiver copies the folder beside a MODELS.toml and pastes the lines there; "
        "they stand in pin.toml of the folder as well."
    )
    cmd_options = (TO, JOBS)

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _archive(words, params))


def _archive(words: list[str], params: Mapping[str, Any]) -> int:
    from megbuild.declare.labels import Pattern
    from megbuild.declare.root import find, here
    from megbuild.pipeline import cached
    from megbuild.store.recovery import handing_over

    if len(words) != 1:
        raise fail("MB401", "doit archive needs the label of one model", "doit archive //package:model")
    root = Path(find(Path.cwd()))
    pattern = Pattern.parse(words[0], here(str(root), Path.cwd()))
    if pattern.below or not pattern.model or pattern.output:
        hint = f"write {Pattern(pattern.package, False, pattern.model or 'model')}"
        raise fail("MB401", f"doit archive delivers one model, and {words[0]} is none", hint)
    target = Path(params["to"] or root / "dist" / pattern.model).absolute()
    _refuse_to_overwrite(target)
    with cached(root, print):
        pieces = _made(root, str(pattern), target, params["jobs"])
        with handing_over(target.parent, print):
            _write(pieces, target)
    print(f"{target}: {len(pieces)} files. Beside it, in a MODELS.toml:\n")
    print(pieces["pin.toml"].read().decode(), end="")
    return 0


def _refuse_to_overwrite(target: Path) -> None:
    from megbuild.release.delivery import DELIVERY

    if target.exists() and not (target / DELIVERY).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise fail("MB430", f"{target} holds something else than a delivered model", "give --to another folder")


def _made(root: Path, label: str, target: Path, jobs: int) -> dict[str, Piece]:
    """Build the .tm and run it on the samples; the files to deliver."""
    from megbuild.cli.finish import finish
    from megbuild.graph.actions import Leaf
    from megbuild.graph.draft import REFERENCE
    from megbuild.pipeline import Asked
    from megbuild.release import delivery
    from megbuild.release.commit import read

    finished, report = finish(Asked((label,), root, form=REFERENCE), jobs)
    (aim,) = finished.graph.aims
    if report.failed:
        reason = "; ".join(failure.message for failure in report.failed)
        raise fail("MB431", f"{label} has no .tm to deliver: {reason}", "mend it, and archive again", status=FAILED)
    if moved := [path for path in report.moved if not target.is_relative_to(root / path)]:  # else by another archive
        message = f"{moved[0]} changed while the .tm was made"
        raise fail("MB432", message, "archive again", status=FAILED)
    needed = {
        entry.said
        for action in finished.graph.closure(aim.label)
        for entry in action.inputs
        if isinstance(entry, Leaf) and entry.kind == "file"
    }
    return delivery.deliver(finished, aim, target.name, read(root, needed))


def _write(pieces: Mapping[str, Piece], target: Path) -> None:
    """Lay the files out beside the target, then put them in its place: half of them never stand there, nor none where some were."""
    from megbuild.store import durable

    part, before = durable.part_beside(target), durable.part_beside(target)
    try:
        for name, content in pieces.items():
            durable.place(part / name, content.read())
        if not target.exists():
            part.rename(target)
        elif not durable.exchange(part, target):  # else a kill between the two would leave none
            target.rename(before)
            part.rename(target)
        durable.sync_folder(target.parent)
    finally:
        for folder in (part, before):
            shutil.rmtree(folder, ignore_errors=True)
