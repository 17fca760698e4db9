"""What every action of a rule does first, whatever it is given: it imports the code that it runs.

A new process does it for itself. A stem (docs/adr/0035) has done it, by these very lines, when actions are forked from it.
"""

from __future__ import annotations

import importlib
import random
import sys
import tokenize
from pathlib import Path
from types import ModuleType
from typing import Any

from . import load

MODULES = {"train": "train", "expect": "expect", "measure": "measure"}
"""The module that drives a function of the worker; ``make`` drives all others."""

_ready: dict[tuple[str, str, str], tuple[ModuleType, ModuleType, Any]] = {}


def _prepare(numpy: Any) -> None:
    """What nearly every action makes the libraries work out, and they keep: limits of numbers, and how to read an array's header."""
    numpy.finfo(numpy.float32), numpy.finfo(numpy.float64)
    for _ in tokenize.generate_tokens(iter(["0"]).__next__):
        pass


def ready(folder: str, worker: str, function: str) -> tuple[ModuleType, ModuleType]:
    """The module that drives ``function``, and the rule's ``worker``, with what the worker imports ``AHEAD`` for it.

    :param folder: the staged folder, absolute.
    """
    import numpy

    known = (folder, worker, function)
    if known not in _ready:
        random.seed(0)
        numpy.random.seed(0)
        code = Path(folder, "code")
        _prepare(numpy)
        for place in sorted((code / "toolchains").glob("*/")):
            sys.path.append(str(place))
        driver = importlib.import_module(f"megbuild_worker.{MODULES.get(function, 'make')}")
        rule = load.load(Path(folder, worker))
        for name in getattr(rule, "AHEAD", {}).get(function, ()):
            importlib.import_module(name)
        _ready[known] = driver, rule, random.getstate()
    driver, rule, drawn = _ready[known]
    random.setstate(drawn)  # Python seeds it anew in a forked process
    return driver, rule
