"""An ONNX model as a MegEngine Module, or the list of what cannot be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import megengine
import megengine.module as M
import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference
import onnx_file

from megbuild_worker.job import Refusal

from . import operators  # noqa: F401  # fills the table
from .graph import Node, nodes
from .table import OPERATORS
from .walk import NODE, Walk, constants_of, narrow

Array = np.ndarray


class Imported(M.Module):
    """Its parameters are the file's initialisers; ``forward`` takes the file's inputs in order."""

    def __init__(self, walk: Any, inputs: Sequence[str], results: Sequence[str]) -> None:
        super().__init__()
        self._walk, self._inputs, self._results = walk, tuple(inputs), tuple(results)

    def forward(self, *tensors: Any) -> Any:
        """The file's results in order; one result stands by itself."""
        given = self._walk(self).run(dict(zip(self._inputs, tensors)), self._results)
        return given if len(given) > 1 else given[0]


def module(model: onnx.ModelProto, feeds: Mapping[str, Array], name: str) -> Imported:
    """The module, after every node of it was compared with onnxruntime on ``feeds``.

    Raises Refusal that names every node which MegEngine cannot compute as onnxruntime does.
    """
    megengine.config.async_level = 0  # an error of MegEngine's is raised where it is made
    _fix_shapes(model, feeds)
    protos, told = nodes(model, OPERATORS)
    inputs = [value.name for value in onnx_file.inputs(model.graph)]
    results = [value.name for value in model.graph.output]
    oracle = _everything(model, protos, feeds, name)
    initialisers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    constant = constants_of(told, initialisers)
    known = {value: array for value, array in oracle.items() if value in constant and isinstance(array, np.ndarray)}
    known.update(initialisers)
    wanted = _needed(told, results, set(known))

    def walk(holder: M.Module) -> Walk:
        return Walk(holder, wanted, known)

    imported = Imported(walk, inputs, results)
    problems = walk(imported).compare(feeds, oracle)
    if problems:
        raise Refusal(f"{name} cannot become a .tm", _troubles(problems))
    imported = Imported(walk, inputs, results)  # without what was made while comparing
    imported.eval()
    imported(*(tensor(feeds[value]) for value in inputs))  # makes the parameters, which tracing only reads
    return imported


def tensor(array: Array) -> Any:
    """The array as MegEngine takes it."""
    return megengine.Tensor(narrow(array))


def operations(network: Any) -> List[Dict[str, Any]]:
    """Every operation of the traced network with the node of the file that it comes from."""
    found = []
    for expression in network.graph._exprs:
        node = expression.__dict__.pop(NODE, None)  # it must not get into the .tm
        if node and expression.outputs:
            found.append({"path": expression.outputs[0].qualname, "node": node})
    return found


def _fix_shapes(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> None:
    """The declared shapes instead of free ones; decompositions ask for the types of values inside."""
    for value in onnx_file.inputs(model.graph):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for length in feeds[value.name].shape:
            shape.dim.add().dim_value = length
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # it stops at operators that it does not know; onnxruntime says later what is wrong
        return
    del model.graph.value_info[:]
    model.graph.value_info.extend(inferred.graph.value_info)


def _everything(
    model: onnx.ModelProto, protos: Sequence[onnx.NodeProto], feeds: Mapping[str, Array], name: str
) -> Dict[str, Any]:
    """Every value of the graph as onnxruntime computes it, node by node without fusion."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    del shown.graph.node[:], shown.graph.output[:], shown.functions[:], shown.graph.value_info[:]
    shown.graph.node.extend(protos)
    values = [value for proto in protos for value in proto.output if value]
    shown.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values)
    session = onnx_file.session(shown, name, optimised=False)
    try:
        given = session.run(values, dict(feeds))
    except Exception as error:
        raise Refusal(f"onnxruntime cannot run {name}: {error}") from error
    return {**dict(zip(values, given)), **feeds}


def _needed(told: Sequence[Node], results: Sequence[str], known: Any) -> List[Node]:
    """The nodes that the results are computed from, with the outputs that are used; what is known needs no node."""
    wanted, kept = set(results) - known, []
    for node in reversed(told):
        if wanted.intersection(node.outputs):
            kept.append(replace(node, outputs=tuple(value if value in wanted else "" for value in node.outputs)))
            wanted.update(value for value in node.inputs if value and value not in known)
    return kept[::-1]


def _troubles(problems: Sequence[Tuple[Node, str]]) -> List[Tuple[str, str]]:
    """``Einsum (nodes a, b): MegEngine has nothing like it``, in the order of the graph, with the first of the nodes."""
    grouped: Dict[Tuple[str, str], List[str]] = {}
    for node, reason in problems:
        grouped.setdefault((node.operator, reason), []).append(node.label)
    return [
        (labels[0], f"{operator} (node{'s' if len(labels) > 1 else ''} {', '.join(labels)}): {reason}")
        for (operator, reason), labels in grouped.items()
    ]
