"""Whether an installed environment still is what was installed (docs/adr/0030), and what happens when it is not."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from megbuild.declare.models import Toolchain
from megbuild.errors import MegbuildError, Problem
from megbuild.execute import inventory, uv
from megbuild.execute.assemble import DIGESTS, MARKER, Say
from megbuild.execute.read_only import take_away
from megbuild.execute.toolchains import alone, inventory_of
from megbuild.store.durable import place

_DAY = 86400.0


def sound(toolchain: Toolchain, cache: Path, say: Say) -> bool:
    """Whether every file of an installed environment looks as it was installed; if not, the environment is removed.

    ``say`` hears which file does not. One of an older megbuild, which kept no inventory, is taken stock of now.
    """
    folder = cache.absolute() / "toolchains" / toolchain.digest
    try:
        changed = inventory.changed(folder, inventory_of(cache, toolchain.digest))
    except FileNotFoundError:
        if folder.exists():
            with suppress(MegbuildError, OSError), alone(folder.with_suffix(".lock"), toolchain, say):
                inventory.write(
                    inventory.take(folder), inventory_of(cache, toolchain.digest)
                )  # else the cache cannot be written
        return True
    if not changed:
        _used(inventory_of(cache, toolchain.digest))
        return True
    return not discard(toolchain, cache, say, lambda: inventory.changed(folder, inventory_of(cache, toolchain.digest)))


def discard(toolchain: Toolchain, cache: Path, say: Say, changed: Callable[[], list[str]]) -> bool:
    """Remove an environment in which files have ``changed``, asked once more when nobody else can remove it.

    What it shares by hard links is damaged as well: uv's copies of these packages, and compiled modules.
    """
    folder = cache.absolute() / "toolchains" / toolchain.digest
    with alone(folder.with_suffix(".lock"), toolchain, say):
        if not folder.exists() or not (files := changed()):  # another build has mended it
            return False
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        told = f"toolchain {toolchain.name}: {files[0]}{more} changed since it was installed; installing it again"
        problem = Problem("MB612", told)
        say(f"warning: {problem}")
        _forget_copies(folder, files, cache / "compiled")
        take_away(folder)  # first: one without an inventory would be taken for sound
        inventory_of(cache, toolchain.digest).unlink(missing_ok=True)
    return True


def damaged(cache: Path, digest: str) -> list[str]:
    """The files of an installed environment whose content is not what was installed; reads all of them."""
    try:
        return inventory.damaged(cache.absolute() / "toolchains" / digest, inventory_of(cache, digest))
    except FileNotFoundError:
        return []


def condemn(cache: Path, digest: str) -> None:
    """Have an environment installed again by the next build that needs it."""
    place(inventory_of(cache, digest), b"condemned")


def last_used(cache: Path, digest: str) -> float:
    """When a build last ran something in an environment, to about a day."""
    path = inventory_of(cache, digest)
    return (path if path.exists() else cache / "toolchains" / digest / MARKER).stat().st_mtime


def _used(inventory: Path) -> None:
    with suppress(OSError):
        if inventory.stat().st_mtime < time.time() - _DAY:
            os.utime(inventory)


def _forget_copies(folder: Path, files: Iterable[str], compiled: Path) -> None:
    """Let go of copies that share their bytes with damaged files, and of all digests, so that these do not come back."""
    shutil.rmtree(compiled / DIGESTS, ignore_errors=True)
    numbers = {(folder / name).lstat().st_ino for name in files if (folder / name).exists()}
    for copy in compiled.glob("**/*"):
        with suppress(OSError):
            if copy.lstat().st_ino in numbers:
                copy.unlink()
    packages = set()
    for record in folder.glob("lib/python3.*/site-packages/*.dist-info/RECORD"):
        inside = {line.split(",")[0] for line in record.read_text("utf-8", "replace").splitlines()}
        if any(name.partition("/site-packages/")[2] in inside for name in files):
            packages.add(record.parent.name.partition("-")[0])
    if packages:
        with suppress(uv.UvFailure):
            uv.run(["cache", "clean", "--force", *sorted(packages)], folder)
