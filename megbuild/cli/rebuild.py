"""``doit release verify --rebuild``: the commit of a release is built again from nothing, and compared bit by bit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megbuild.release.archive import Piece
from megbuild.release.verify import MANIFEST, Unable, Unsound, unpack


def rebuild(release: Path) -> str:
    """Check out the commit of a sound release beside this workspace, build it with an empty store, and compare.

    Toolchains that are installed are used: they are known by the digests of their locks. Returns the line that says
    so when every file came out the same; raises Unsound with those that did not.
    """
    from megbuild.cli.release import make
    from megbuild.declare.load import load
    from megbuild.declare.models import Release
    from megbuild.declare.root import find
    from megbuild.release.commit import check_out

    with tempfile.TemporaryDirectory() as temporary:
        folder = release if release.is_dir() else unpack(release, Path(temporary, "released"))
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        if not manifest["commit"]:
            raise Unable("it was not made from a commit, so there is nothing to build again")
        if any(allowed["what"].startswith("the sources") for allowed in manifest["allowed"]):
            raise Unable("its sources were not those of its commit, so they cannot be built again")
        checkout = Path(temporary, "checkout")
        check_out(Path(find(Path.cwd())), manifest["commit"], checkout)
        with _own_store(Path(temporary, "cache")):
            workspace = load(checkout / manifest["folder"])
            named = {declared.name: declared for declared in workspace.releases}
            asked = named.get(manifest["name"]) or Release("", manifest["name"], tuple(manifest["labels"]))
            allowed = {"allow_dirty": False, "allow_failed": True, "allow_not_run": True}
            bundle, _ = make(workspace, asked, {"version": manifest["version"], "jobs": 0, **allowed})
            compare(folder, dict(bundle.pieces))
    return f"built again from {manifest['commit'][:12]}: all {len(bundle.pieces)} files are the same, bit by bit"


def compare(folder: Path, pieces: dict[str, Piece]) -> None:
    """Raises Unsound with every file that differs between an unpacked release and what was built now."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    differing = sorted(there.keys() ^ pieces.keys())
    differing += sorted(
        name for name in there.keys() & pieces.keys() if there[name].read_bytes() != pieces[name].read()
    )
    if differing:
        raise Unsound(f"built again, these files differ: {', '.join(differing)}")


@contextmanager
def _own_store(cache: Path) -> Iterator[None]:
    """An empty store for what runs in the block; the toolchains are the user's."""
    from megbuild.store.lock import using
    from megbuild.store.places import CACHE_VARIABLE, cache_folder

    lock = using(cache_folder(), print)  # nobody removes a toolchain meanwhile
    toolchains = cache_folder() / "toolchains"
    toolchains.mkdir(parents=True, exist_ok=True)
    cache.mkdir()
    (cache / "toolchains").symlink_to(toolchains)
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(cache)
    try:
        yield
    finally:
        if before is None:
            del os.environ[CACHE_VARIABLE]
        else:
            os.environ[CACHE_VARIABLE] = before
        if lock:
            lock.release()
