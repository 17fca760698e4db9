"""A delivered file as a step of the core: it enters the graph only with the digest it was pinned to."""

from __future__ import annotations

from collections.abc import Mapping

from megbuild.errors import FAILED, fail
from megbuild.execute.staging import Moved
from megbuild.graph.actions import Action, Leaf, Outputs
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest


def delivered(action: Action, staged: Mapping[str, Digest], content: ContentStore) -> Outputs:
    """Put a delivered file into the store.

    :raises Moved: when it changed since it was hashed.
    :raises MegbuildError: MB402 when it does not have the pinned digest.
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
    return {f"artifact/{action.artifact[0]}": found}
