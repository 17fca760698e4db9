"""``doit trust LABEL``: what a model's delivered pickle would look up, and a reviewed exception for it in MODELS.trust."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command
from megbuild.errors import FAILED, fail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from megbuild.declare.models import Model, Workspace


class Trust(Command):
    """The command plug-in."""

    name = "trust"
    doc_purpose = "review what a refused .tm names, and allow it in MODELS.trust"
    doc_usage = "LABEL [--name NAME ...] [--note TEXT]"
    doc_description = "Without --name it lists what the file names and writes nothing. Nothing of the file is loaded."
    cmd_options = (
        {"name": "names", "short": "", "long": "name", "type": list, "default": [], "help": "a reviewed name, to be allowed in this very file"},
        {"name": "note", "short": "", "long": "note", "type": str, "default": "", "help": "why, and who says so"},
    )  # fmt: skip

    def execute(self, params: dict[str, Any], labels: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _trust(labels, params["names"], " ".join(params["note"].split())))


def _trust(labels: list[str], names: list[str], note: str) -> int:
    from megbuild.declare.load import load

    if len(labels) != 1:
        raise fail("MB401", "doit trust needs one label", "doit trust //package:model")
    workspace = load(Path.cwd(), labels)
    model = _model(workspace, labels)
    strange = _strange(workspace, model)
    assert model.archive
    path, sha256 = model.archive.path, model.archive.sha256
    if unknown := sorted(set(names) - set(strange)):
        raise fail(
            "MB411",
            f"{path} does not name {unknown[0]}, or it is allowed anyway",
            f"see what it names: doit trust {labels[0]}",
        )
    if names:
        _allow(Path(workspace.root), sha256, names, note)
        return 0
    if not strange:
        print(f"{path} names nothing that is not allowed")
        return 0
    print(f"{path} (sha256 {sha256})\nnames what no traced module of MegEngine's does:")
    for name in strange:
        print(f"  {name}")
    words = " ".join(f"--name {name}" for name in strange)
    print(
        f'loading the file can call each of these with anything; to allow those that you reviewed:\n  doit trust {labels[0]} {words} --note "why"'
    )
    return FAILED


def _model(workspace: Workspace, labels: list[str]) -> Model:
    """The one model that the label means, which starts from a delivered .tm."""
    from megbuild.declare.labels import select
    from megbuild.declare.root import here

    chosen = {model.label: model for model, _ in select(labels, workspace.models, here(workspace.root, Path.cwd()))}
    if len(chosen) != 1:
        raise fail("MB401", f"{labels[0]} means {len(chosen)} models", "doit trust //package:model")
    (model,) = chosen.values()
    if model.archive is None:
        hint = "what its own training code makes and loads needs no trust: it may hold names of that code"
        raise fail("MB410", f"{model.label} does not start from a delivered .tm", hint, model.where)
    return model


def _strange(workspace: Workspace, model: Model) -> tuple[str, ...]:
    """The names in the file that are not allowed; raises where the file is none that can be allowed."""
    from megbuild.graph.draft import LOADS, PICKLE_NAMES
    from megbuild.worker import pickles

    assert model.archive
    shown, sha256 = model.archive.path, model.archive.sha256
    content = Path(workspace.root, shown).read_bytes()
    _check_digest(content, shown, sha256)
    names = pickles.Names.parse(Path(workspace.toolchains[LOADS].folder, PICKLE_NAMES).read_text("utf-8"))
    found = pickles.follow_bytes(content)
    if found.faults:
        raise fail(
            "MB412", f"{shown} cannot be allowed: {found.faults[0]}", "get it again from whom you trust", status=FAILED
        )
    return found.refused(names.more(workspace.trusted.get(sha256, ())))


def _check_digest(content: bytes, shown: str, sha256: str) -> None:
    from megbuild.store.digests import digest_bytes

    found = digest_bytes(content).sha256
    if found != sha256:
        message = f"{shown} has sha256 {found}, pinned is {sha256}"
        raise fail(
            "MB402", message, "get the delivered file again, or review the new one and pin its sha256", status=FAILED
        )


def _allow(root: Path, sha256: str, names: Iterable[str], note: str) -> None:
    from megbuild.declare import trust
    from megbuild.store.durable import place

    before = [entry for entry in trust.read(root) if not (entry.sha256 == sha256 and entry.name in set(names))]
    added = [trust.Reviewed(sha256, name, note) for name in names]
    place(root / trust.NAME, trust.text([*before, *added]).encode())
    print(f"{trust.NAME}: {len(added)} added; commit it with the review", file=sys.stderr)
