"""Walks a traced network operation by operation on a sample, and lowers each to primitives.

Every operation is run in MegEngine, too: what its lowering computes must be what MegEngine computes, else the network is
refused with the place. (What a format's own runtime makes of the primitives is another question, which the
verification of the produced file answers.) Nothing stops at the first trouble: all of it is told at once.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set

import megengine
import megengine.functional as F
import numpy as np
from megengine import Tensor
from megengine.traced_module import TracedModule
from megengine.traced_module.expr import Apply, CallFunction, CallMethod, Constant, Expr, GetAttr, Input
from megengine.traced_module.node import ModuleNode, Node, TensorNode

from megbuild_worker.job import Refusal

from . import substitutes, table
from .arithmetic import TOLERANCE
from .primitives import Primitives
from .values import SMALL, Array, Unsupported, Value, array_of

BLOCK = 1 << 18
"""Elements that are compared at once."""
BY_SHAPE = (F.zeros_like, F.ones_like, F.full_like)
"""Functions whose result depends on the shape of what they are given alone."""


@dataclass(frozen=True)
class Trouble:
    """An operation that is not lowered: where it is in the network, what it is, why, and what to use instead.

    ``qualname`` is MegEngine's own name of the place, under which the lines of the training code are noted.
    """

    path: str
    qualname: str
    operation: str
    reason: str
    instead: str

    def __str__(self) -> str:
        hint = f"; use {self.instead}" if self.instead else ""
        return f"{self.path} ({self.operation}): {self.reason}{hint}"


class CannotRun(Exception):
    """MegEngine itself cannot run an operation on the sample; ``qualname`` and ``said`` as in a Trouble."""

    def __init__(self, qualname: str, said: str) -> None:
        super().__init__(said)
        self.qualname = qualname
        self.said = said


def lower(network: TracedModule, sample: Sequence[Any], into: Primitives) -> Dict[str, Array]:
    """Lowers a network into a graph whose inputs and results have the names of the network's.

    ``sample`` holds one array for each input. Returns what the results are for it, by name. Raises Refusal with
    everything that cannot be lowered, and CannotRun. Takes the network apart: a weight that was lowered is freed.
    """
    with _shared_weights():
        flat = network.flatten()
    walk = _Walk(flat, into)
    names = [node.name for node in network.graph.inputs[1:]]
    results = [node.name for node in network.graph.outputs]
    into.reserve([*names, *results])
    walk.start(names, sample)
    for expr in walk.needed:
        walk.step(expr)
    walk.finish(results)
    if walk.troubles:
        told = list(dict.fromkeys((trouble.qualname, str(trouble)) for trouble in walk.troubles))
        count = "one thing" if len(told) == 1 else f"{len(told)} things"
        raise Refusal(f"{into.format} cannot express {count} in this model", told)
    return {name: walk.values[node._id].array for node, name in zip(flat.graph.outputs, results)}


@contextlib.contextmanager
def _shared_weights() -> Iterator[None]:
    """MegEngine copies a network deeply to flatten it; its tensors need not be there twice."""
    Tensor.__deepcopy__ = lambda tensor, memo: tensor
    try:
        yield
    finally:
        del Tensor.__deepcopy__


class _Walk:
    def __init__(self, network: TracedModule, into: Primitives) -> None:
        # The network is kept, because its nodes know their owners weakly.
        self.network = network
        self.into = into
        self.values: Dict[int, Value] = {}
        self.troubles: List[Trouble] = []
        self.needed = _needed(network)
        self.uses: Dict[int, int] = {}
        self.last: Dict[int, Expr] = {}
        for expr in self.needed:
            for node in expr.inputs:
                self.uses[node._id] = self.uses.get(node._id, 0) + 1
                self.last[node._id] = expr
        for node in network.graph.outputs:
            self.uses[node._id] = self.uses.get(node._id, 0) + 1
            self.last.pop(node._id, None)
        self.last_of_weights = {id(weight): expr for expr in self.needed for weight in _weights(expr)}

    def start(self, names: Sequence[str], sample: Sequence[Any]) -> None:
        for node, name, array in zip(self.network.graph.inputs[1:], names, sample):
            value = Value(Tensor(array))
            self.into.path = name
            try:
                self.into.take(value, name)
            except Unsupported as why:
                self._trouble(name, "", "input", why)
                value = self.into.stand_in(value.tensor)
            self.into.name_new([])
            self.values[node._id] = value

    def step(self, expr: Expr) -> None:
        self._take_step(expr)
        for weight in _weights(expr):
            if self.last_of_weights[id(weight)] is expr:
                weight._reset(Tensor(0.0))
        for node in expr.inputs:
            if self.last.get(node._id) is expr:
                self.values.pop(node._id, None)

    def _take_step(self, expr: Expr) -> None:
        if isinstance(expr, (GetAttr, Constant)):
            if isinstance(expr.outputs[0], TensorNode):
                held = expr.value if isinstance(expr, Constant) else expr.interpret(expr.inputs[0].owner)[0]
                self._bind(expr.outputs[0], Value(Tensor(held)))
            return
        reference = self._run(expr)
        if self._known(expr):
            for node, tensor in zip(expr.outputs, reference):
                self._bind(node, Value(tensor))
        else:
            self.into.path = path(expr).replace("[", "").replace("]", "")
            for node, value in zip(expr.outputs, self._lowered(expr, reference)):
                self._bind(node, value)

    def _bind(self, node: Node, value: Value) -> None:
        value.uses += self.uses.get(node._id, 0)
        if value.uses > 1:
            value.origin = None  # nothing can be folded into what others read, too
        if node._id in self.uses:
            self.values[node._id] = value

    def _run(self, expr: Expr) -> List[Tensor]:
        """What MegEngine gives."""
        try:
            results = list(table.flat(expr.interpret(*map(self._copied, expr.inputs))))
            megengine._full_sync()  # errors of computations that go on in the background come out here
        except Exception as error:  # of any kind: whatever the operation does with what it is given
            where = f"{path(expr)} ({table.called(expr)})"
            raise CannotRun(expr.outputs[0].qualname, f"{where}: {_told(error)}") from error
        return results

    def _copied(self, node: Node) -> Any:
        """What the operation is run on: copies, because ``x += y`` changes what it is given."""
        if isinstance(node, ModuleNode):
            return node.owner
        copy = Tensor(self.values[node._id].tensor)
        copy.qparams.update(self.values[node._id].tensor.qparams)
        return copy

    def _known(self, expr: Expr) -> bool:
        """Whether the results depend on constants and shapes alone, which folds them."""
        if isinstance(expr, Apply) and type(expr.opdef).__name__ == "GetVarShape":
            return True
        if isinstance(expr, CallFunction) and expr.func in BY_SHAPE:
            return True
        if any(isinstance(node, ModuleNode) for node in expr.inputs) or "RNG" in table.called(expr):
            return False  # random numbers are no constants
        return all(self.values[node._id].constant for node in expr.inputs)

    def _lowered(self, expr: Expr, reference: List[Tensor]) -> List[Value]:
        """The lowered results; stand-ins for them where there is trouble."""
        handler = table.handler(expr)
        try:
            if handler is None:
                raise Unsupported("no lowering is written for it")
            args, kwargs = self._called_with(expr)
            self.into.answer = reference[0] if handler in table.CONVOLUTIONS else None
            values = list(table.flat(handler(self.into, *args, **kwargs)))[: len(reference)]
            for value, tensor in zip(values, reference):
                _compare(value, tensor)
                value.tensor.qparams.update(tensor.qparams)
        except (Unsupported, RuntimeError) as error:
            why = error if isinstance(error, Unsupported) else Unsupported(f"its lowering cannot run: {_told(error)}")
            self._trouble(path(expr), expr.outputs[0].qualname, table.called(expr), why)
            values = [self.into.stand_in(tensor) for tensor in reference]
        self.into.name_new([tensor for value in values for tensor in value.stored.values()])
        return values

    def _trouble(self, place: str, qualname: str, operation: str, why: Unsupported) -> None:
        instead = why.instead or substitutes.instead_of(operation, self.into.format)
        self.troubles.append(Trouble(place, qualname, operation, why.reason, instead))

    def _called_with(self, expr: Expr) -> Any:
        if isinstance(expr, Apply):
            return [expr.opdef, *(self.values[node._id] for node in expr.inputs)], {}
        args, kwargs = self._filled(expr.args), self._filled(expr.kwargs)
        if isinstance(expr.inputs[0], ModuleNode):
            args = (expr.inputs[0].owner, *args[1:])
        return args, kwargs

    def _filled(self, argument: Any) -> Any:
        """An argument with values in place of the network's nodes."""
        if isinstance(argument, Node):
            return argument if isinstance(argument, ModuleNode) else self.values[argument._id]
        if isinstance(argument, (list, tuple)):
            return type(argument)(self._filled(item) for item in argument)
        if isinstance(argument, dict):
            return {key: self._filled(item) for key, item in argument.items()}
        if isinstance(argument, slice):
            return slice(*(self._filled(end) for end in (argument.start, argument.stop, argument.step)))
        return argument

    def finish(self, names: Sequence[str]) -> None:
        ends = []
        for node, name in zip(self.network.graph.outputs, names):
            self.into.path = name
            try:
                ends.append((self.into.give(self.values[node._id]), name))
            except Unsupported as why:
                self._trouble(name, node.qualname, "result", why)
            self.into.name_new([])
        if not self.troubles:
            self.into.finish(ends)


def _needed(network: TracedModule) -> List[Expr]:
    """The operations that the results are computed from, in their order."""
    makers = {node._id: expr for expr in network.graph._exprs for node in expr.outputs}
    found: Set[int] = set()
    open_nodes = list(network.graph.outputs)
    while open_nodes:
        expr: Optional[Expr] = makers.get(open_nodes.pop()._id)
        if expr is not None and id(expr) not in found:
            found.add(id(expr))
            open_nodes.extend(expr.inputs)
    return [expr for expr in network.graph._exprs if id(expr) in found and not isinstance(expr, Input)]


def _weights(expr: Expr) -> Iterator[Tensor]:
    """The large tensors of the network that an operation reads."""
    held: List[Any] = []
    if isinstance(expr, Constant):
        held = [expr.value]
    elif isinstance(expr, GetAttr) and isinstance(expr.outputs[0], TensorNode):
        held = list(expr.interpret(expr.inputs[0].owner))
    elif isinstance(expr, CallMethod) and isinstance(expr.inputs[0], ModuleNode):
        held = [*expr.inputs[0].owner.parameters(), *expr.inputs[0].owner.buffers()]
    return (tensor for tensor in held if isinstance(tensor, Tensor) and tensor.size >= SMALL)


def path(expr: Expr) -> str:
    """Where an operation is in the network: ``backbone.layer1.0.[matmul]``, or ``backbone.conv1`` for a module."""
    parts = expr.outputs[0].qualname.split(".")[1:]
    if parts and parts[-1].startswith("["):
        last = parts.pop()[1:-1]
        for prefix in ("func_", "method_", "def_"):
            last = last[len(prefix) :] if last.startswith(prefix) else last
        if last != "out":
            parts.append(f"[{last}]")
    return ".".join(parts) or "[network]"


def _told(error: Exception) -> str:
    """What MegEngine says of an error, without the place in its own code and the addresses behind it."""
    said = (str(error).partition("backtrace:")[0].strip() or type(error).__name__).splitlines()
    extra = [line.partition(": ")[2] for line in said if line.startswith("extra message: ")]
    return (extra or [said[0].partition(" failed at /")[0]])[0]


def _compare(value: Value, reference: Tensor) -> None:
    """Raises Unsupported where a lowering is not what MegEngine computes."""
    if value.shape != tuple(int(length) for length in reference._tuple_shape) or value.dtype != reference.dtype:
        given, wanted = (f"{np.dtype(t.dtype)} {list(t._tuple_shape)}" for t in (value.tensor, reference))
        raise Unsupported(f"its lowering gives {given}, MegEngine {wanted}")
    if value.tensor is reference:
        return
    found, wanted = (array_of(tensor).reshape(-1) for tensor in (value.tensor, reference))
    apart, scale = 0.0, 1e-6
    for start in range(0, wanted.size, BLOCK):
        a, b = (array[start : start + BLOCK].astype(np.float64) for array in (found, wanted))
        finite = np.isfinite(b)
        if not finite.all():
            if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
                raise Unsupported("its lowering is finite where MegEngine's result is not")
            a, b = a[finite], b[finite]
        apart = np.maximum(apart, np.abs(a - b).max(initial=0.0))  # a NaN stays
        scale = max(scale, np.abs(b).max(initial=0.0))
    if not apart / scale < TOLERANCE:
        raise Unsupported(f"its lowering is off by {apart / scale:.2g} from MegEngine's result")
