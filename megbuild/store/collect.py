"""What to remove from a cache: pure, over what is there and what is needed.

Needed is what a workspace's last builds made, what a MODELS.lock names, and what a bundle was made of; it always stays. Of
the rest, what was not used for a while goes, and beyond that the longest unused, until the cache is small enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from megbuild.errors import FAILED, fail
from megbuild.store.digests import Digest
from megbuild.store.records import Record
from megbuild.store.roots import bundles, workspaces
from megbuild.store.state import State

LOCK = "MODELS.lock"
_DIGEST = "sha256:"


class Item(Struct, frozen=True):
    """Something that can be removed by itself: its bytes, when it was last used, and the contents that it refers to."""

    kind: str
    """``record``, ``content``, ``toolchain`` or ``compiled``."""
    name: str
    size: int
    used: float
    needed: bool = False
    contents: tuple[str, ...] = ()


class Needed(Struct, frozen=True):
    """Keys, and SHA-256 of contents or digests of toolchains, that may not be removed."""

    keys: frozenset[str]
    digests: frozenset[str]


class Doomed(Struct, frozen=True):
    """What is to be removed, how many bytes that frees, and how many stay."""

    items: tuple[Item, ...]
    freed: int
    stays: int


def needed(cache: Path) -> Needed:
    """What the workspaces and bundles that use a cache need.

    :raises MegbuildError: MB613 when a workspace's state cannot be read: what it needs is not known then.
    """
    keys: set[str] = set()
    digests: set[str] = set()
    for root in workspaces(cache):
        state = State.load(root, _unknown(root))
        for built in state.built.values():
            keys.add(built.key)
            digests.update(digest.sha256 for digest in built.outputs.values())
        for published in state.published.values():
            digests.update(one.sha256 for one in published.values())
        digests.update(_locked(root / LOCK))
    for _, of_bundle in bundles(cache):
        keys.update(of_bundle.values())
    return Needed(frozenset(keys), frozenset(digests))


def _unknown(root: Path) -> Callable[[str], None]:
    def refuse(why: str) -> None:
        raise fail("MB613", f"what the workspace {root} needs is not known: {why}", "build there first", status=FAILED)

    return refuse


def _locked(path: Path) -> Iterable[str]:
    """Every digest in a lock file."""
    try:
        words = path.read_text("utf-8", "replace").split()
    except FileNotFoundError:
        return ()
    return [word.removeprefix(_DIGEST) for word in words if word.startswith(_DIGEST)]


def items(
    records: Iterable[tuple[Record, float, int]],
    contents: Mapping[str, tuple[int, float]],
    others: Iterable[Item],
    wanted: Needed,
) -> list[Item]:
    """All that is there: records with their last use and size, contents by SHA-256 with size and time, and the rest."""
    found = []
    toolchains = set(wanted.digests)
    for record, used, size in records:
        stays = record.key in wanted.keys
        if stays:
            toolchains.add(record.toolchain_digest)
        found.append(Item("record", record.key, size, used, stays, _contents(record)))
    for sha256, (size, used) in contents.items():
        found.append(Item("content", sha256, size, used, sha256 in wanted.digests))
    for item in others:
        stays = item.needed or (item.kind == "toolchain" and item.name in toolchains)
        found.append(Item(item.kind, item.name, item.size, item.used, stays))
    return found


def _contents(record: Record) -> tuple[str, ...]:
    named: list[Digest] = [*record.outputs.values(), *([record.log] if record.log else [])]
    return tuple(dict.fromkeys(digest.sha256 for digest in named))


def choose(there: Collection[Item], unused_since: float, most: int | None = None) -> Doomed:
    """What goes: what is not needed and was not used after ``unused_since``, and then the longest unused until no more
    than ``most`` bytes stay. A content stays as long as a record that stays refers to it."""
    contents = {item.name: item for item in there if item.kind == "content"}
    referring = Counter(name for item in there for name in item.contents)
    total = stays = sum(item.size for item in there)
    doomed: list[Item] = []
    alone = (item for item in there if not item.needed and not (item.kind == "content" and referring[item.name]))
    for item in sorted(alone, key=lambda item: (item.used, item.kind, item.name)):
        if item.used > unused_since and (most is None or stays <= most):
            break
        gone = [item]
        for name in item.contents:
            referring[name] -= 1
            content = contents.get(name)
            if content and not referring[name] and not content.needed:
                gone.append(content)
        doomed += gone
        stays -= sum(one.size for one in gone)
    return Doomed(tuple(doomed), total - stays, stays)
