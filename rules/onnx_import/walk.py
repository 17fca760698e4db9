"""Walks an ONNX graph with MegEngine's functions, and compares each node with onnxruntime on the way.

A value is an array where it depends on no input, which includes every shape, because shapes are declared; else it is a
tensor. The first walk, ``compare``, gives every node what onnxruntime computed for its inputs, so that a node is
judged by itself, and goes on behind a node that cannot be taken: all of them are found at once.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

import megengine
import megengine.module as M
import numpy as np
from megengine.traced_module.module_tracer import active_module_tracer

from .graph import STANDARD, Node
from .table import OPERATORS, Unsupported

Array = np.ndarray
Value = Union[Array, "megengine.Tensor"]

SHAPE_ONLY = ("Shape", "Size")
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
NARROWER = {"int64": "int32", "uint32": "int32", "uint64": "int32", "float64": "float32"}
"""What MegEngine computes in where it lacks the type."""
NODE = "_megbuild_node"
"""The attribute of a traced operation that tells which node of the file it comes from."""
CLOSE = 2e-3
"""Of the largest element: float32 in another order of summation stays far below, another meaning far above."""


def is_constant(value: Any) -> bool:
    """Whether the value depends on no input."""
    return not isinstance(value, megengine.Tensor)


class Walk:
    """The values of one walk; ``holder`` is the Module whose parameters are the constants."""

    def __init__(self, holder: M.Module, nodes: Sequence[Node], constants: Mapping[str, Array]) -> None:
        self.holder = holder
        self.nodes = nodes
        self.values: Dict[str, Any] = {"": None}
        self.values.update(constants)
        self.named: Dict[str, Array] = {}
        self.node: Node = nodes[0] if nodes else None  # type: ignore[assignment]

    # what handlers use

    def inputs(self) -> List[Any]:
        """The node's values; None for one that is left out."""
        return [self.values[name] for name in self.node.inputs]

    def input(self, index: int) -> Any:
        """One of the node's values; None where it is left out."""
        names = self.node.inputs
        return self.values[names[index]] if index < len(names) else None

    def known(self, index: int, what: str) -> Optional[Array]:
        """An input that must not depend on the network's inputs."""
        value = self.input(index)
        if value is not None and not is_constant(value):
            raise Unsupported(f"{what} is computed from the network's inputs")
        return value

    def integers(self, name: str, index: int, default: Any = None) -> Optional[List[int]]:
        """A list that older versions of an operator have as attribute ``name`` and newer ones as an input."""
        value = self.node.attribute(name)
        if value is None and index >= 0:
            value = self.known(index, name)
        return default if value is None else [int(each) for each in np.reshape(value, -1)]

    def tensor(self, value: Value, role: str = "") -> Any:
        """The value as a tensor: a constant becomes a parameter, named by the file's name of it or by the node's."""
        if not is_constant(value):
            return value
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        array = narrow(array)
        own = next((name for name in self.node.inputs if name and self.values[name] is value), "")
        return self._parameter(own or f"{self.node.label}_{role or 'constant'}", array)

    def operand(self, value: Value, role: str = "") -> Any:
        """Of elementwise operators: like ``tensor``, but a number stays a number."""
        if is_constant(value) and value.size == 1 and value.dtype.kind == "f" and value.ndim <= 1:
            return float(value.reshape(()))
        return self.tensor(value, role)

    def _parameter(self, name: str, array: Array) -> Any:
        plain = re.sub(r"\W", "_", name).strip("_") or "constant"
        plain = plain if not plain[0].isdigit() else f"c{plain}"
        attribute, number = f"{plain}" if not hasattr(M.Module, plain) else f"{plain}_", 1
        while attribute in self.named and not _same(self.named[attribute], array):
            attribute, number = f"{plain}_{number}", number + 1
        self.named[attribute] = array
        try:
            return getattr(self.holder, attribute)
        except AttributeError:
            kind = megengine.Parameter if array.dtype.kind == "f" else megengine.Tensor
            setattr(self.holder, attribute, kind(array))
            return getattr(self.holder, attribute)

    # the walk

    def run(self, feeds: Mapping[str, Any], results: Sequence[str]) -> List[Any]:
        """The results of the network as tensors."""
        self.values.update(feeds)
        for node in self.nodes:
            if not all(name in self.values for name in node.outputs):
                before = len(_traced())
                self._keep(node, self._call(node))
                for expression in _traced()[before:]:
                    setattr(expression, NODE, f"{node.label} ({node.operator})")
        last = Node("result", "", "", tuple(results), (), {}, 0, None)  # type: ignore[arg-type]
        self.node = last
        return [self.tensor(self.values[name]) for name in results]

    def _call(self, node: Node) -> Sequence[Any]:
        self.node = node
        given = OPERATORS[node.operator](self, node)
        return given if isinstance(given, (tuple, list)) else (given,)

    def _keep(self, node: Node, given: Sequence[Any]) -> None:
        self.values.update({name: value for name, value in zip(node.outputs, given) if name})

    def compare(self, feeds: Mapping[str, Array], oracle: Mapping[str, Any]) -> List[Tuple[Node, str]]:
        """What cannot be taken: nodes with the reason. ``oracle`` is what onnxruntime gives for every value."""
        self.values.update({name: megengine.Tensor(narrow(array)) for name, array in feeds.items()})
        problems: List[Tuple[Node, str]] = []
        for node in self.nodes:
            if all(name in self.values for name in node.outputs):
                continue
            reason = self._compared(node, oracle)
            if reason:
                problems.append((node, reason))
            for name in filter(None, node.outputs):
                if isinstance(self.values.get(name), np.ndarray) and not reason:
                    continue  # a constant that a handler computed
                truth = oracle.get(name)
                usable = isinstance(truth, np.ndarray) and truth.dtype.kind in "fiub"
                self.values[name] = megengine.Tensor(narrow(truth)) if usable else np.zeros(0, np.float32)
        return problems

    def _compared(self, node: Node, oracle: Mapping[str, Any]) -> str:
        if node.domain not in STANDARD:
            return f"it is of the domain {node.domain}, which ONNX does not define"
        if node.operator not in OPERATORS:
            return "MegEngine has nothing like it"
        odd = [str(array.dtype) for name in node.outputs if (array := oracle.get(name)) is not None and _odd(array)]
        if odd:
            return f"MegEngine has no {odd[0]}"
        try:
            given = self._call(node)
            self._keep(node, [value if is_constant(value) else None for value in given])
            return next(filter(None, (differs(v, oracle[n]) for n, v in zip(node.outputs, given) if n in oracle)), "")
        except Unsupported as unsupported:
            return str(unsupported)
        except Exception as error:  # whatever MegEngine says of what it cannot compute
            return f"MegEngine cannot compute it: {' '.join(str(error).partition('backtrace')[0].split())[:160]}"


def _traced() -> Sequence[Any]:
    """The operations that are traced so far; none outside of tracing."""
    tracer = active_module_tracer()
    return () if tracer is None else tracer.current_scope()._exprs


def constants_of(nodes: Iterable[Node], initialisers: Iterable[str]) -> Set[str]:
    """The names of the values that no input changes, once shapes are declared."""
    constant = {"", *initialisers}
    for node in nodes:
        from_shape = node.operator in SHAPE_ONLY and node.domain in STANDARD
        inner = any(kind in str(type(value)) for value in node.attributes.values() for kind in ("GraphProto",))
        if from_shape or (constant.issuperset(node.inputs) and node.operator not in RANDOM and not inner):
            constant.update(node.outputs)
    return constant


def shape_of(value: Value) -> Tuple[int, ...]:
    """The shape as numbers. While tracing ``.shape`` of a tensor would be an operation of the network."""
    return tuple(value._tuple_shape) if isinstance(value, megengine.Tensor) else tuple(np.shape(value))


def narrow(array: Array) -> Array:
    """The array in a type that MegEngine has. Integers beyond it are kept at its ends, as slices use them."""
    wanted = NARROWER.get(array.dtype.name)
    if wanted is None:
        return array
    if wanted == "int32":
        ends = np.iinfo(np.int32)
        array = np.clip(array, ends.min, ends.max)
    return array.astype(wanted)


def _odd(array: Any) -> bool:
    return not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub"


def _same(a: Array, b: Array) -> bool:
    return a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def differs(given: Any, truth: Array) -> str:
    """How a node's result differs from onnxruntime's; '' when it does not."""
    array = given if isinstance(given, np.ndarray) else given.numpy()
    if array.shape != truth.shape:
        return f"MegEngine gives the shape {list(array.shape)}, onnxruntime {list(truth.shape)}"
    a, b = array.astype(np.float64), narrow(truth).astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return "MegEngine and onnxruntime differ in what is not finite"
    if not finite.any():
        return ""
    off, peak = float(np.max(np.abs(a - b)[finite])), float(np.max(np.abs(b[finite])))
    limit = CLOSE * peak if truth.dtype.kind == "f" else 0.0
    return f"MegEngine and onnxruntime differ by {off:.3g} of {peak:.3g}" if off > limit + 1e-6 * bool(limit) else ""
