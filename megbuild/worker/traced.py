"""The reference of every road, a traced module, with the declared names and order of inputs and results.

Uses attributes of the module it is given and imports MegEngine, which is the worker's, where it must add an operation.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .job import Description, Refusal, Tensor


def settle(module: Any, inputs: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Gives a traced module's inputs and results their declared names, and its results their declared order.

    A module that has these names already keeps them. Else inputs go by position; results go by key where the module
    returns a dict of tensors (whose order tracing loses), else by position, those inside of lists and dicts (by key)
    one after another. A result that is an input, or another result, gets a copy of its own. Raises Refusal when the
    numbers or the keys are not the declared ones.
    """
    graph = module.graph
    nodes = graph.inputs[1:]
    if len(nodes) != len(inputs):
        raise Refusal(f"the model takes {len(nodes)} inputs, {len(inputs)} are declared")
    given = {id(node) for node in graph.outputs}
    unused = [tensor.name for node, tensor in zip(nodes, inputs) if not node.users and id(node) not in given]
    if unused:
        raise Refusal(f"the model does not use its input {', '.join(unused)}")
    ordered = _each_its_own(graph, _in_declared_order(module, results))
    graph.reset_outputs(ordered[0] if len(ordered) == 1 else ordered)
    if {node.name for node in nodes} != {tensor.name for tensor in inputs}:
        for node, tensor in zip(nodes, inputs):
            _name(graph, node, tensor.name)
    for node, tensor in zip(ordered, results):
        _name(graph, node, tensor.name)


def input_names(module: Any) -> list[str]:
    """The names of a module's inputs in the order in which it is called."""
    return [node.name for node in module.graph.inputs[1:]]


def result_names(module: Any) -> list[str]:
    """The names of a module's results in the order in which it returns them."""
    return [node.name for node in module.graph.outputs]


def _in_declared_order(module: Any, results: Sequence[Tensor]) -> list[Any]:
    """The graph's result nodes, one for each declared result."""
    (definition,) = module.argdef_outdef_map.values()
    given = definition.unflatten(list(module.graph.outputs))
    names = [result.name for result in results]
    there = {node.name: node for node in module.graph.outputs}
    if set(there) == set(names):
        return [there[name] for name in names]
    if isinstance(given, dict) and not any(isinstance(node, (dict, list, tuple)) for node in given.values()):
        if sorted(given) != sorted(names):
            said = ", ".join(map(str, sorted(given)))
            raise Refusal(f"the model returns a dict of {said}; the declared results are {', '.join(names)}")
        ordered = [given[name] for name in names]
    else:
        ordered = list(module.graph.outputs)
        if len(ordered) != len(names):
            raise Refusal(f"the model returns {len(ordered)} results, {len(names)} are declared")
    return ordered


def _each_its_own(graph: Any, nodes: Sequence[Any]) -> list[Any]:
    """The result nodes with copies in place of inputs and of those that came before."""
    taken = {id(node) for node in graph.inputs}
    own = []
    for node in nodes:
        if id(node) in taken:
            node = _copy(graph, node)
        taken.add(id(node))
        own.append(node)
    return own


def _copy(graph: Any, node: Any) -> Any:
    functional = importlib.import_module("megengine.functional")
    with graph.insert_exprs():
        return functional.copy(node)


def _name(graph: Any, node: Any, name: str) -> None:
    # The module's own setter would turn "input" into "input_1", because it keeps clear of Python's built-in names.
    space = graph._namespace
    holder = space.used_names.get(name)
    if holder is node:
        return
    if holder is not None:
        space.unassociate_name_with_obj(holder)
        holder._name = space.create_unique_name(name + "_inner", holder)
    space.unassociate_name_with_obj(node)
    node._name = name
    space._used_names[name] = node


def describe(module: Any) -> Description:
    """Names, shapes and types as the traced module has them."""
    return {
        "inputs": [_tensor(node) for node in module.graph.inputs[1:]],
        "results": [_tensor(node) for node in module.graph.outputs],
    }


def _tensor(node: Any) -> Tensor:
    return Tensor(node.name, tuple(int(n) for n in node.shape), np.dtype(node.dtype).name)


def flat_results(given: Any) -> list[Any]:
    """The results of a call of a settled module as a list."""
    return list(given) if isinstance(given, (list, tuple)) else [given]
