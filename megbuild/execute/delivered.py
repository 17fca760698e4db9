"""A delivered file as a step of the core: it enters the graph only with the digest it was pinned to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from megbuild.errors import FAILED, MegbuildError, Problem, fail, printable
from megbuild.execute.staging import Moved
from megbuild.graph.actions import Action, Leaf, Outputs
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest
from megbuild.worker import onnx_wire, pickles

LIST = "code/core/pickle_names.txt"
"""Where the list of what a .tm may hold is among the inputs; other formats have none."""


def delivered(action: Action, staged: Mapping[str, Digest], content: ContentStore) -> Outputs:
    """Put a delivered file into the store.

    :raises Moved: when it changed since it was hashed.
    :raises MegbuildError: MB402 when it does not have the pinned digest, MB409 for a pickle that names what no
        traced module does, MB617 for an ONNX file that reaches for other files or claims what it does not hold.
    """
    (leaf,) = (entry for entry in action.inputs if isinstance(entry, Leaf) and entry.kind == "file")
    try:
        found = content.put_file(leaf.origin)
    except FileNotFoundError as error:
        raise Moved(leaf.said) from error
    if found != leaf.digest:
        raise Moved(leaf.said)
    if found.sha256 != action.options["sha256"]:
        raise fail(
            "MB402",
            f"{leaf.said} has sha256 {found.sha256}, pinned is {action.options['sha256']}",
            "get the delivered file again, or review the new one and pin its sha256",
            status=FAILED,
        )
    _check_pickle(action, leaf, content, found)
    if action.artifact[0].endswith(".onnx"):
        _check_onnx(leaf, content, found)
    return {f"artifact/{action.artifact[0]}": found}


def _check_onnx(leaf: Leaf, content: ContentStore, found: Digest) -> None:
    """Look through a delivered ONNX file before any tool parses it: their parsers would open what it names."""
    try:
        onnx_wire.check(content.path(found))
    except onnx_wire.Fault as fault:
        message = printable(f"{leaf.said} {fault}")
        raise fail("MB617", message, "get the file from whom you trust, in one piece", status=FAILED) from None


def _check_pickle(action: Action, leaf: Leaf, content: ContentStore, found: Digest) -> None:
    """Follow a delivered .tm without loading it."""
    allowed = next((entry for entry in action.inputs if isinstance(entry, Leaf) and entry.path == LIST), None)
    if allowed is None:
        return
    names = pickles.Names.parse(Path(allowed.origin).read_text("utf-8"))
    names = names.more(str(action.options.get("trusted", "")).split())
    with open(content.path(found), "rb") as file:
        seen = pickles.follow(file)
    wrong = [*pickles.lines(seen.refused(names), seen.faults)]
    if wrong:
        hint = "loading it can run anything: get the file from whom you trust"
        if not seen.faults:
            hint += f", or review the names and allow them: doit trust {action.model}"
        problems = [Problem("MB409", f"{leaf.said} is refused: {text}") for text in wrong[:-1]]
        raise MegbuildError((*problems, Problem("MB409", f"{leaf.said} is refused: {wrong[-1]}", hint)), FAILED)
