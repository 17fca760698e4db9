"""Finds the function of the user's training code that a model names, as Python would find it for the user."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from .job import Job, Refusal


def own(job: Job) -> Callable[[str], bool]:
    """Whether a module, by its dotted name, is one of the staged training code."""
    root = job.folder / job.settings["root"]

    def staged(module: str) -> bool:
        path = getattr(sys.modules.get(module), "__file__", None)
        return path is not None and Path(path).resolve().is_relative_to(root.resolve())

    return staged


@contextlib.contextmanager
def function(job: Job) -> Iterator[Callable[..., Any]]:
    """The entry function of ``settings["entry"]``, ``folder/file.py:name`` below ``settings["root"]``.

    Inside the context the current folder is the file's own, where its declared data lies. Modules are looked for in
    that folder first, then from the workspace's root.
    """
    file, _, name = job.settings["entry"].rpartition(":")
    root = job.folder / job.settings["root"]
    path = root / file
    package = path.parent
    while (package / "__init__.py").exists():
        package = package.parent
    folders = dict.fromkeys([path.parent, package, root])
    sys.path[:0] = [str(folder) for folder in folders]
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        module_name = ".".join(path.relative_to(package).with_suffix("").parts)
        module = importlib.import_module(module_name)
        if Path(module.__file__ or "").resolve() != path.resolve():
            raise Refusal(f'the module name "{module_name}" of {file} is taken by another module: rename the file')
        found = getattr(module, name, None)
        if not callable(found):
            raise Refusal(f"{file} has no function {name}")
        yield found
    finally:
        os.chdir(before)
