"""Toolchains on this machine: installed once for all workspaces of a user, under their digest, and never changed after.

``<cache>/toolchains/<digest>/`` is a virtual environment. It is put together in a folder beside it and renamed when
it is complete and its probe has passed, so that a folder with a digest for its name is whole by construction. One
build installs at a time; another one that needs the same toolchain waits for it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from megbuild.declare import toolchains as declared
from megbuild.declare.models import Toolchain
from megbuild.errors import FAILED, fail
from megbuild.execute import inventory
from megbuild.execute.assemble import MARKER, Say, assemble
from megbuild.execute.read_only import delete, take_away
from megbuild.store.durable import sync_folder


@dataclass(frozen=True)
class Installed:
    """An environment that is ready. ``folder`` is its ``sys.prefix``; ``environment`` the variables of its actions."""

    name: str
    digest: str
    python: str
    folder: str
    environment: Mapping[str, str]

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The folders that a process of it reads: the environment, and the interpreter that it was made from.

        The interpreter's appears under every name by which the environment's links lead to it.
        """
        path, found = Path(self.python), [self.folder]
        while True:
            if not path.is_relative_to(self.folder):
                found.append(str(path.parent.parent))
            if not path.is_symlink():
                break
            path = path.parent / path.readlink()
        found.append(str(Path(os.path.realpath(self.python)).parent.parent))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Listed:
    """An environment in the cache; ``size`` in bytes, ``seconds`` what its installation took."""

    name: str
    digest: str
    folder: str
    python: str
    size: int
    seconds: float


def installed(toolchain: Toolchain, cache: Path) -> Installed | None:
    """The toolchain's environment if it is there: one stat, which fails too when its base interpreter was removed."""
    folder = f"{cache}/toolchains/{toolchain.digest}"
    python = f"{folder}/bin/python"
    if not Path(python).exists():
        return None
    return Installed(toolchain.name, toolchain.digest, python, folder, toolchain.environment)


def provision(toolchain: Toolchain, cache: Path, say: Say) -> Installed:
    """The toolchain's environment, installed first where it is missing. ``say`` is given lines of progress.

    Raises MB320 to MB332: no interpreter, no network, a hash that differs, a full disk, another platform, a failed
    build, or a probe whose answer differs.
    """
    if found := installed(toolchain, cache):
        return found
    home = cache.absolute() / "toolchains"
    home.mkdir(parents=True, exist_ok=True)
    with alone(home / f"{toolchain.digest}.lock", toolchain, say):
        if found := installed(toolchain, cache):
            return found
        if declared.digest(toolchain) != toolchain.digest:
            raise fail(
                "MB327",
                f"toolchain {toolchain.name}: its files changed while the build was reading them",
                "build again",
            )
        final, partial = home / toolchain.digest, home / f"{toolchain.digest}.partial"
        for leftover in (final, partial):  # of a killed installation, or an environment whose interpreter is gone
            delete(leftover)
        try:
            inventory.write(
                assemble(toolchain, partial, cache / "compiled", say), inventory_of(cache, toolchain.digest)
            )
            partial.rename(final)
            sync_folder(home)
        except OSError as error:
            code, hint = (
                ("MB324", "free some space, or put the cache elsewhere")
                if error.errno == errno.ENOSPC
                else ("MB329", "")
            )
            raise fail(code, f"toolchain {toolchain.name} cannot be installed: {error}", hint, status=FAILED) from None
        finally:
            delete(partial)
    found = installed(toolchain, cache)
    assert found, "it was installed just now"
    return found


def remove_installed(cache: Path, digest: str) -> None:
    """Delete an environment by its digest, with all that stands beside it; nobody uses the cache."""
    folder = cache.absolute() / "toolchains" / digest
    if folder.exists():
        take_away(folder)
    for suffix in (".files", ".lock"):
        folder.with_suffix(suffix).unlink(missing_ok=True)


def sweep(cache: Path) -> None:
    """Delete what installations and removals that were killed have left; nobody uses the cache."""
    home = cache / "toolchains"
    if home.is_symlink():  # they are another cache's
        return
    for partial in home.glob("*.partial"):
        delete(partial)
    for beside in (*home.glob("*.files"), *home.glob("*.lock")):
        if not beside.with_suffix("").exists():
            beside.unlink(missing_ok=True)


def inventory_of(cache: Path, digest: str) -> Path:
    """Where the inventory of an environment stands."""
    return cache.absolute() / "toolchains" / f"{digest}.files"


def list_installed(cache: Path) -> tuple[Listed, ...]:
    """The environments in the cache, by name."""
    found = []
    for marker in (cache / "toolchains").glob(f"*/{MARKER}"):
        if marker.parent.suffix != ".partial":
            about = json.loads(marker.read_text())
            found.append(
                Listed(
                    about["name"],
                    marker.parent.name,
                    str(marker.parent),
                    about["python"],
                    about["size"],
                    about["seconds"],
                )
            )
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.digest)))


def remove(toolchain: Toolchain, cache: Path) -> bool:
    """Delete its environment; whether there was one. Waits for a build that installs it."""
    home = cache.absolute() / "toolchains"
    folder = home / toolchain.digest
    if not folder.exists():
        return False
    with alone(home / f"{toolchain.digest}.lock", toolchain, lambda line: None):
        take_away(folder)
        inventory_of(cache, toolchain.digest).unlink(missing_ok=True)
    return True


@contextmanager
def alone(lock: Path, toolchain: Toolchain, say: Say) -> Iterator[None]:
    """Hold the lock of one digest; the kernel lets go of it when the process ends, however it ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"toolchain {toolchain.name}: another build installs it, waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
