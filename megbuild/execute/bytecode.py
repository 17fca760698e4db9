"""Compiles the modules of a new environment; a program of its own, run by the environment's Python (3.8 or newer).

    python bytecode.py SITE_PACKAGES CACHE

``CACHE`` holds the compiled form of every module that any environment had, by Python version and the SHA-256 of the
source. Compiled modules are shared with it by hard links, so that an environment made of known packages costs no
compilation. They are unchecked: modules of an environment never change, and no import has to look at its source.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import py_compile
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path

_PARENT_DEATH_SIGNAL = 1
"""Linux's number of the request."""
_AT_A_TIME = 64
"""Modules that one process compiles before it is given more."""


def main(packages: str, cache: str) -> None:
    """Give every module below ``packages`` its compiled form."""
    kept = Path(cache, f"{sys.implementation.cache_tag}-{sys.version.split()[0]}")
    kept.mkdir(parents=True, exist_ok=True)
    unknown = [
        (module, compiled) for module, compiled in _modules(Path(packages), kept) if not _share(module, compiled)
    ]
    if unknown:
        with ProcessPoolExecutor(initializer=_end_with_parent) as pool:
            list(pool.map(_compile, *map(list, zip(*unknown)), chunksize=_AT_A_TIME))  # noqa: B905 - Python 3.10's


def _end_with_parent() -> None:
    """A process of the pool would wait for ever when the one that gives it work is killed."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _modules(packages: Path, kept: Path) -> Iterator[tuple[Path, Path]]:
    """Every module, and where its compiled form is or would be kept."""
    for module in packages.rglob("*.py"):
        if module.is_file():
            yield module, kept / f"{hashlib.sha256(module.read_bytes()).hexdigest()}.pyc"


def _share(module: Path, compiled: Path) -> bool:
    """Take the compiled form from the cache; False when it is not there, or on another file system."""
    target = Path(cache_from_source(str(module)))
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(compiled, target)
    except OSError:
        return target.exists()
    return True


def _compile(module: Path, compiled: Path) -> None:
    part = compiled.with_suffix(f".{os.getpid()}")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(module), str(part), doraise=True, invalidation_mode=unchecked)
    except Exception:  # packages ship templates, and tests of other Pythons: those stay as they are
        return
    part.replace(compiled)
    if not _share(module, compiled):
        shutil.copy(compiled, cache_from_source(str(module)))


if __name__ == "__main__":
    main(*sys.argv[1:])
