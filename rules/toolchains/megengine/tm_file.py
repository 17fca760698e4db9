"""Loads a .tm, which is a pickle, without trusting it.

1. The file is followed without running any of it (:mod:`megbuild_worker.pickles`): every name that it would look up or that
   MegEngine would look up for it must be one of ``pickle_names.txt``.
2. It is loaded by an unpickler that finds those names only, and while that runs MegEngine's own look-ups by text find
   those names only.
3. The methods and attributes that the graph would use are held against MegEngine's own list.

Names that ``MODELS.trust`` lists for this very file are taken as well.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from abc import ABCMeta
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, BinaryIO

import megengine
import numpy as np
from megengine.core._imperative_rt.common import CompNode
from megengine.module import Module
from megengine.traced_module import expr, module_tracer, node, pytree, serialization, traced_module

from megbuild_worker import pickles
from megbuild_worker.job import Job, Refusal

_NAMES = pickles.Names.parse(Path(__file__).with_name("pickle_names.txt").read_text("utf-8"))
_LOOK_UP = (expr, node, serialization)
"""The modules of MegEngine that import by the texts in a file."""
_METHODS = frozenset([*module_tracer.get_tensor_wrapable_method(), "__call__", "__rpow__", "__len__"])

# MegEngine asks of every value in a network whether it is a module. The first time for each class Python goes through the
# 140 classes of modules, and keeps the answer. Here that happens where actions are forked from, once.
for _kind in (
    bool, int, float, str, list, tuple, dict, type(None), FunctionType, ABCMeta, OrderedDict, inspect.FullArgSpec,
    np.ndarray, type(np.dtype(np.float32)), CompNode, megengine.Tensor, megengine.Parameter, pytree.ArgsIndex, pytree.LeafDef,
    pytree.TreeDef, traced_module.InternalGraph, traced_module.NameSpace, node.ModuleNode, node.TensorNode,
    expr.Input, expr.GetAttr, expr.CallMethod, expr.CallFunction,
):  # fmt: skip
    issubclass(_kind, Module)


def load(path: Path, job: Job | None = None) -> Any:
    """The traced module in a file; Refusal with every reason not to load it."""
    trusted = job.settings.get("trusted", {}) if job else {}
    with open(path, "rb") as file:
        names = allowed(file, trusted)
        check(file, names, path.name)
        with _looking_up(names.called):
            try:
                network = megengine.load(
                    file, pickle_module=SimpleNamespace(load=lambda f: pickles.unpickler(names)(f).load())
                )
            except Exception as error:
                raise Refusal(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(network, megengine.traced_module.TracedModule):
        raise Refusal(f"{path.name} holds a value of type {type(network).__name__}, not a traced module")
    _check_graph(network, path.name)
    return network


def allowed(file: BinaryIO, trusted: dict[str, list[str]]) -> pickles.Names:
    """What this file may hold: MegEngine's names, and those that were reviewed for these very bytes."""
    if not trusted:
        return _NAMES
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    file.seek(0)
    return _NAMES.more(trusted.get(digest.hexdigest(), ()))


def check(file: BinaryIO, names: pickles.Names, shown: str) -> None:
    """Raises Refusal where the file holds anything else; else it stands at its beginning again."""
    found = pickles.follow(file)
    file.seek(0)
    wrong = list(pickles.lines(found.refused(names), found.faults))
    if wrong:
        raise Refusal(f"{shown} is not loaded, because loading it can run anything", [("", text) for text in wrong])


@contextmanager
def _looking_up(names: frozenset[str]) -> Iterator[None]:
    """Let MegEngine find by text what is allowed. It hides errors there, so the first one is raised at the end."""
    refused: list[str] = []

    def module(name: str) -> Any:
        return _Only(name, names, refused)

    original = importlib.import_module
    for place in _LOOK_UP:
        place.import_module = module
    try:
        yield
    finally:
        for place in _LOOK_UP:
            place.import_module = original
        if refused:
            raise Refusal(
                "it is not loaded, because loading it can run anything", [("", t) for t in pickles.lines(refused, ())]
            )


class _Only:
    """A module of which some names are there. Nothing is imported for a name that is not."""

    def __init__(self, module: str, names: frozenset[str], refused: list[str]) -> None:
        object.__setattr__(self, "_asked", (module, names, refused))

    def __getattribute__(self, name: str) -> Any:
        module, names, refused = object.__getattribute__(self, "_asked")
        dotted = f"{module}.{name}"
        if dotted not in names:
            if not any(allowed.startswith(dotted + ".") for allowed in names):
                refused.append(dotted)
                raise AttributeError(dotted)
            return _Only(dotted, names, refused)
        return getattr(importlib.import_module(module), name)


def _check_graph(network: Any, shown: str) -> None:
    wrong = []
    for graph in _graphs(network):
        for expression in graph._exprs:
            if isinstance(expression, expr.CallMethod) and expression.method not in _METHODS:
                wrong.append(f"it calls the method {expression.method}, which is none of a network's")
            elif isinstance(expression, expr.GetAttr) and any(
                part.startswith("__") for part in expression.name.split(".")
            ):
                wrong.append(f"it reads the attribute {expression.name}, which is none of a network's")
            elif isinstance(expression, expr.CallFunction) and not callable(expression.func):
                wrong.append(f"it calls {expression.func}, which MegEngine does not have")
    if wrong:
        raise Refusal(
            f"{shown} is not used, because its graph can run anything", [("", text) for text in dict.fromkeys(wrong)]
        )


def _graphs(network: Any) -> Iterator[Any]:
    seen: set[int] = set()
    for part in network.modules():
        for graph in (getattr(part, "argdef_graph_map", None) or {}).values():
            if id(graph) not in seen:
                seen.add(id(graph))
                yield graph


@contextmanager
def guarded(own: Callable[[str], bool], trusted: dict[str, list[str]]) -> Iterator[None]:
    """While training code runs, ``megengine.load`` checks what it loads in the same way.

    :param own: whether a module is training code of the model: it runs anyway, so its names may be in its files.
    """
    given = megengine.serialization.load.__defaults__

    def load(file: BinaryIO) -> Any:
        start = file.tell()
        names = allowed(file, trusted)
        file.seek(start)
        found = pickles.follow(file)
        file.seek(start)
        names = names.more(name for name in found.types if own(name.rpartition(".")[0]))
        wrong = list(pickles.lines(found.refused(names), found.faults))
        if wrong:
            shown = Path(str(getattr(file, "name", "the file"))).name
            raise Refusal(f"{shown} is not loaded, because loading it can run anything", [("", text) for text in wrong])
        with _looking_up(names.called):
            return pickles.unpickler(names)(file).load()

    megengine.serialization.load.__defaults__ = (None, SimpleNamespace(load=load))
    try:
        yield
    finally:
        megengine.serialization.load.__defaults__ = given
