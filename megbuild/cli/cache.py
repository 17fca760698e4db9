"""``doit cache``: how large the user's cache is, whether it is sound, and what can be removed from it."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command
from megbuild.errors import FAILED, fail

if TYPE_CHECKING:
    from megbuild.store.collect import Doomed, Item

USAGE = "size | verify | gc [--dry-run] [--max-size SIZE] [--keep-days N]"
KEEP_DAYS = 30.0
"""Days after which unused things go when nothing else is asked for."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_KINDS = {"record": "records", "content": "contents", "toolchain": "toolchains", "compiled": "compiled modules"}


class Cache(Command):
    """The command plug-in."""

    name = "cache"
    doc_purpose = "show, check or clean the cache of results and toolchains"
    doc_usage = USAGE
    doc_description = (
        "size: what is in it. verify: read all of it; what is damaged is named, and made again by the next build. gc: "
        "remove what no workspace, MODELS.lock or bundle needs and nobody used for 30 days; it waits for running builds."
    )
    cmd_options = (
        {
            "name": "dry_run", "short": "", "long": "dry-run", "type": bool, "default": False,
            "help": "gc: say what would go, and remove nothing",
        },
        {
            "name": "max_size", "short": "", "long": "max-size", "type": str, "default": "",
            "help": "gc: remove the longest unused until so much is left, such as 20GB",
        },
        {
            "name": "keep_days", "short": "", "long": "keep-days", "type": str, "default": "",
            "help": "gc: keep what was used within so many days",
        },
    )  # fmt: skip

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _dispatch(params, words))


def _dispatch(params: dict[str, Any], words: list[str]) -> int:
    verbs = {"size": _size, "verify": _verify, "gc": _gc}
    if len(words) != 1 or words[0] not in verbs:
        raise fail("MB440", f"doit cache has no {' '.join(words) or 'such use'}", f"doit cache {USAGE}")
    for option in ("dry_run", "max_size", "keep_days"):
        if params[option] and words[0] != "gc":
            raise fail("MB440", f"doit cache {words[0]} takes no --{option.replace('_', '-')}", f"doit cache {USAGE}")
    return verbs[words[0]](params)


def _size(params: dict[str, Any]) -> int:
    from megbuild.store.places import cache_folder

    there = _there(cache_folder())
    for kind, title in _KINDS.items():
        of_kind = [item for item in there if item.kind == kind]
        free = sum(item.size for item in of_kind if not item.needed)
        print(
            f"{title:<18}{len(of_kind):>8}{_shown(sum(item.size for item in of_kind)):>12}   {_shown(free)} of it not needed"
        )
    print(f"{'together':<26}{_shown(sum(item.size for item in there)):>12}   {cache_folder()}")
    return 0


def _verify(params: dict[str, Any]) -> int:
    from megbuild.execute.soundness import condemn, damaged
    from megbuild.execute.toolchains import list_installed
    from megbuild.store.content import ContentStore
    from megbuild.store.lock import using
    from megbuild.store.places import cache_folder
    from megbuild.store.records import RecordStore

    cache, found = cache_folder(), list[str]()
    lock = using(cache, _say)
    content = ContentStore(cache / "store")
    found += content.verify()
    records = RecordStore(cache / "store", content, found.append).verify()
    installed = list_installed(cache)
    for toolchain in installed:
        if files := damaged(cache, toolchain.digest):
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            condemn(cache, toolchain.digest)
            found.append(f"{toolchain.folder}: {files[0]}{more} changed since {toolchain.name} was installed")
    if lock:
        lock.release()
    if found:
        for sentence in found:
            print(sentence, file=sys.stderr)
        raise fail(
            "MB611", f"{len(found)} of the cache's things were damaged", "build: it makes them again", status=FAILED
        )
    print(f"sound: {sum(1 for _ in content.all())} contents, {records} records, {len(installed)} toolchains")
    return 0


def _gc(params: dict[str, Any]) -> int:
    from megbuild.store.collect import choose
    from megbuild.store.lock import alone
    from megbuild.store.places import cache_folder

    cache = cache_folder()
    most = size_of(params["max_size"]) if params["max_size"] else None
    days = _days(params["keep_days"], KEEP_DAYS if most is None else float("inf"))
    lock = None if params["dry_run"] else alone(cache, _say)
    try:
        doomed = choose(_there(cache), time.time() - days * 86400.0, most)
        if lock:
            _remove(cache, doomed)
    finally:
        if lock:
            lock.release()
    _tell(doomed, would=not lock)
    if most is not None and doomed.stays > most:
        print(f"note: {_shown(doomed.stays)} stay: workspaces, locks or bundles need them")
    return 0


def _there(cache: Path) -> list[Item]:
    """Everything in the cache that can be removed by itself, and whether it is needed."""
    from megbuild.store.collect import items, needed
    from megbuild.store.content import ContentStore
    from megbuild.store.records import RecordStore

    content = ContentStore(cache / "store")
    contents = {path.name: (size, came) for path, size, came in content.all()}
    records = RecordStore(cache / "store", content, _say).all()
    return items(records, contents, [*_toolchains(cache), *_compiled(cache)], needed(cache))


def _toolchains(cache: Path) -> Iterator[Item]:
    from megbuild.execute.soundness import last_used
    from megbuild.execute.toolchains import list_installed
    from megbuild.store.collect import Item

    if (cache / "toolchains").is_symlink():  # they are another cache's
        return
    for one in list_installed(cache):
        yield Item("toolchain", one.digest, one.size, last_used(cache, one.digest))


def _compiled(cache: Path) -> Iterator[Item]:
    """Compiled modules; those that a toolchain shares are needed, and cost nothing beside it."""
    from megbuild.store.collect import Item

    for path in sorted((cache / "compiled").glob("**/*")):
        if path.is_file():
            status = path.stat()
            yield Item("compiled", str(path), status.st_size, status.st_mtime, status.st_nlink > 1)


def _remove(cache: Path, doomed: Doomed) -> None:
    from megbuild.execute.toolchains import remove_installed, sweep
    from megbuild.store.content import ContentStore
    from megbuild.store.records import RecordStore
    from megbuild.store.recovery import sweep_cache

    content = ContentStore(cache / "store")
    records = RecordStore(cache / "store", content, _say)
    for item in sorted(doomed.items, key=lambda item: item.kind != "record"):  # first what refers to the others
        if item.kind == "record":
            records.remove(item.name)
        elif item.kind == "content":
            content.remove(item.name)
        elif item.kind == "toolchain":
            remove_installed(cache, item.name)
        else:
            with suppress(FileNotFoundError):
                Path(item.name).unlink()
    sweep_cache(cache, 0.0)
    sweep(cache)


def _tell(doomed: Doomed, *, would: bool) -> None:
    counts = Counter(item.kind for item in doomed.items)
    what = ", ".join(f"{counts[kind]} {title}" for kind, title in _KINDS.items() if counts[kind]) or "nothing"
    print(f"{'would remove' if would else 'removed'} {what}: {_shown(doomed.freed)}; {_shown(doomed.stays)} stay")


def size_of(text: str) -> int:
    """Bytes, of a text such as ``20GB``; raises MB441."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if not match:
        raise fail("MB441", f"--max-size {text} is no size", "a number with kB, MB, GB or TB, such as 20GB")
    return int(float(match[1]) * _UNITS[match[2]])


def _days(text: str, otherwise: float) -> float:
    try:
        days = float(text) if text else otherwise
    except ValueError:
        days = -1.0
    if not days >= 0:
        raise fail("MB441", f"--keep-days {text} is no number of days", "a number such as 30")
    return days


def _shown(size: int) -> str:
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
