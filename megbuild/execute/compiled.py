"""Gives every module of a new environment its compiled form: shared with the cache by hard links where it is known.

The cache has the compiled form of every module that any environment had, by Python version and the SHA-256 of the
source, so that an environment made of known packages costs no compilation and starts no process for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from megbuild.execute import bytecode
from megbuild.execute.box import kernel
from megbuild.execute.known import Known
from megbuild.store.digests import digest_file


def share(folder: Path, cache: Path, known: Known) -> None:
    """Compiled forms for the environment ``folder``; without them each import would compile anew, for actions write nothing."""
    version = _version(folder)
    tag = "cpython-" + "".join(version.split(".")[:2])
    kept = cache.absolute() / f"{tag}-{version}"
    kept.mkdir(parents=True, exist_ok=True)
    packages = folder / "lib" / f"python{'.'.join(version.split('.')[:2])}" / "site-packages"
    unknown = list(_not_shared(packages, str(kept), tag, known))
    if unknown:
        command = [str(folder / "bin/python"), "-B", "-I", "-W", "ignore", bytecode.__file__]
        subprocess.run(
            command,
            input=json.dumps(unknown).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            preexec_fn=kernel.die_with_parent,
        )  # fmt: skip - what it cannot compile is imported from its source


def _version(folder: Path) -> str:
    """The whole version of an environment's Python, such as ``3.9.18``."""
    lines = (line.partition("=") for line in (folder / "pyvenv.cfg").read_text().splitlines())
    return next(value.strip() for name, _, value in lines if name.strip() == "version_info")


def _not_shared(packages: Path, kept: str, tag: str, known: Known) -> Iterator[tuple[str, str]]:
    """Share what is kept; the modules that are left, each with the path where its compiled form is to be kept."""
    for inside, modules in _modules(str(packages)):
        Path(inside, "__pycache__").mkdir(exist_ok=True)
        for module in modules:
            status = module.stat()
            sha256 = known.get(status)
            if sha256 is None:
                known.put(status, sha256 := digest_file(module.path).sha256)
            form = f"{kept}/{sha256}.pyc"
            if not _linked(form, f"{inside}/__pycache__/{module.name[:-3]}.{tag}.pyc"):
                yield module.path, form


def _linked(kept: str, target: str) -> bool:
    """Whether nothing is left to do for a module: its compiled form is there, or there is none."""
    try:
        os.link(kept, target)
    except FileExistsError:  # the package brought it
        pass
    except FileNotFoundError:
        return Path(kept + bytecode.NOT_COMPILED).exists()
    except OSError:  # another file system, or more links than it takes
        with suppress(OSError):
            shutil.copy(kept, target)
    return True


def _modules(packages: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Every folder that has modules, with them."""
    waiting = [packages]
    while waiting:
        inside = waiting.pop()
        with os.scandir(inside) as found:
            entries = list(found)
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        if modules := [entry for entry in entries if entry.name.endswith(".py") and entry.is_file()]:
            yield inside, modules
