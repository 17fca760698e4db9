"""Runs a Python program in a forked interpreter as a new one would run it."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import traceback
from collections.abc import Mapping, Sequence, Set
from hashlib import sha256
from types import CodeType, ModuleType
from typing import Any


def clash(taken: Set[str], work: str, *, toolchains: bool = True) -> str:
    """A name among modules imported in advance that the staged code uses for a module of its own; '' without one.

    A new interpreter would import the staged one. The caller starts one then.

    :param toolchains: whether to look at the toolchain's modules, too, and not at the training code alone.
    """
    folders = [f"{work}/in/source"]
    shared = f"{work}/code/toolchains"
    for folder, _, _ in os.walk(folders[0]):
        folders.append(folder)
    if toolchains and os.path.isdir(shared):
        folders += [f"{shared}/{name}" for name in os.listdir(shared)]
    for folder in folders:
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            if entry.partition(".")[0] in taken:
                return entry
    return ""


class Compiled:
    """Staged modules as code, compiled once for all actions that stage the same bytes at the same place."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def of(self, folder: str, work: str, digests: Mapping[str, str]) -> dict[str, CodeType]:
        """The code by the place in ``work`` where it will be imported; without what is not as its digest says.

        :param digests: the files staged in ``folder``, with their SHA-256.
        """
        found: dict[str, CodeType] = {}
        for path, digest in digests.items():
            place = f"{work}/{path}"
            if not path.endswith(".py"):
                continue
            if (place, digest) not in self._known:
                with open(f"{folder}/{path}", "rb") as file:
                    text = file.read()
                if sha256(text).hexdigest() != digest:
                    continue
                try:
                    self._known[place, digest] = compile(text, place, "exec", dont_inherit=True)
                except (SyntaxError, ValueError):
                    continue  # said when it is imported
            found[place] = self._known[place, digest]
        return found


def use(compiled: Mapping[str, CodeType]) -> None:
    """Let imports of these files take the code that the zygote compiled from the same bytes."""
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: Any, name: str) -> CodeType | None:
        return compiled.get(loader.path) or original(loader, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]


def begin(first: Mapping[str, Any], work: str) -> None:
    """Do what all programs of some staged code do first: call the function that has the name of the module that it is in."""
    sys.path.insert(0, f"{work}/{first['folder']}")
    importlib.import_module(first["module"].partition(".")[0])
    del sys.path[0]
    module = importlib.import_module(first["module"])
    getattr(module, first["module"].rpartition(".")[2])(work, *first["arguments"])


def run(arguments: Sequence[str], compiled: Mapping[str, CodeType]) -> int:
    """Run ``script argument...`` as ``__main__``; the exit status."""
    path = os.path.abspath(arguments[0])
    sys.argv = list(arguments)
    sys.path.insert(0, os.path.dirname(path))
    main = ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.modules["__main__"] = main
    try:
        code = compiled.get(path)
        if code is None:
            with open(path, "rb") as file:
                code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, main.__dict__)
        return 0
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            return (exit.code or 0) & 0xFF
        print(exit.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exception(type(error), error, error.__traceback__.tb_next if error.__traceback__ else None)
        return 1


def finish() -> None:
    """What a new interpreter does at its end: wait for threads, run what was registered, write everything out."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
