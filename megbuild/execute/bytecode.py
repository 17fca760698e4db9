"""Compiles modules of a new environment; a program of its own, run by the environment's Python (3.8 or newer).

    python bytecode.py <MODULES

``MODULES`` is a JSON list of pairs: a module, and where its compiled form is kept for the next environments. Compiled
modules are unchecked: modules of an environment never change, and no import has to look at its source.
"""

from __future__ import annotations

import ctypes
import json
import os
import py_compile
import shutil
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path

_PARENT_DEATH_SIGNAL = 1
"""Linux's number of the request."""
_AT_A_TIME = 64
"""Modules that one process compiles before it is given more."""
NOT_COMPILED = ".none"
"""Ends the name of what is kept for a module that is no Python of this version, so that nobody tries again."""


def main() -> None:
    """Compile what standard input names, on all processors."""
    modules = json.load(sys.stdin)
    with ProcessPoolExecutor(initializer=_end_with_parent) as pool:
        list(pool.map(_compile, *map(list, zip(*modules)), chunksize=_AT_A_TIME))  # noqa: B905 - Python 3.10's


def _end_with_parent() -> None:
    """A process of the pool would wait for ever when the one that gives it work is killed."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _compile(module: str, kept: str) -> None:
    part = f"{kept}.{os.getpid()}"
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(module, part, doraise=True, invalidation_mode=unchecked)
    except py_compile.PyCompileError:  # packages ship templates, and tests of other Pythons: those stay as they are
        Path(kept + NOT_COMPILED).touch()
        return
    except Exception:
        return
    Path(part).replace(kept)
    target = cache_from_source(module)
    Path(target).parent.mkdir(exist_ok=True)
    try:
        os.link(kept, target)
    except OSError:  # another file system, or more links than it takes
        shutil.copy(kept, target)


if __name__ == "__main__":
    main()
