"""Builds mgeconvert's IR graph out of operations of the target format, and names what is in it.

One generic operation serves all three backends: mgeconvert's converters look an operation's class up in a registry, and
each format's module registers what it makes of :class:`Node`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Iterable, List, Sequence, Set, Tuple
from weakref import WeakValueDictionary

import numpy as np
from mgeconvert.converter_ir.ir_graph import IRGraph
from mgeconvert.converter_ir.ir_op import OpBase
from mgeconvert.converter_ir.ir_tensor import IRTensor

from .values import Array, Shape


class Node(OpBase):
    """One operation as the format has it: ``kind`` is its name there, ``attributes`` what the format wants said.

    ``label`` says where in the network it is from.
    """

    name = "Node"
    label = ""

    def __init__(self, kind: str, inputs: Sequence[IRTensor], outputs: Sequence[IRTensor], **attributes: Any) -> None:
        super().__init__()
        self.kind = kind
        self.attributes = attributes
        self.inp_tensors = list(inputs)
        self.out_tensors = list(outputs)


class Emission:
    """A graph being built. ``path`` is the operation of the network that is being lowered."""

    def __init__(self) -> None:
        self.graph = IRGraph()
        self.path = ""
        self._taken: Set[str] = set()
        self._constants: WeakValueDictionary[Tuple[Any, ...], IRTensor] = WeakValueDictionary()
        self._arrays: WeakValueDictionary[Tuple[Any, ...], Array] = WeakValueDictionary()
        self._unnamed: List[Tuple[IRTensor, str]] = []
        self._given: Set[int] = set()

    def tensor(self, shape: Iterable[int], dtype: Any = np.float32, name: str = "") -> IRTensor:
        """A tensor that an operation will compute; it gets its name when the lowering of ``path`` is done."""
        tensor = IRTensor(name, tuple(int(length) for length in shape), np.dtype(dtype).type, axis=None)
        if not name:
            self._unnamed.append((tensor, "value"))
        return tensor

    def constant(self, array: Array, role: str = "constant") -> IRTensor:
        """A tensor with data; equal data is stored once. ``role`` (``weight``) ends its name."""
        array = np.asarray(array, order="C")  # where ascontiguousarray makes a vector of a scalar
        key = _content(array)
        tensor = self._constants.get(key)
        if tensor is None:
            tensor = IRTensor("", array.shape, array.dtype.type, np_data=array, axis=None)
            self._constants[key] = tensor
            self._unnamed.append((tensor, role))
        return tensor

    def once(self, array: Array) -> Array:
        """The array, or an equal one that the graph holds already."""
        array = np.ascontiguousarray(array)
        return self._arrays.setdefault(_content(array), array)

    def node(self, kind: str, inputs: Sequence[IRTensor], outputs: Sequence[IRTensor], **attributes: Any) -> Node:
        """Adds an operation to the graph."""
        node = Node(kind, inputs, outputs, **attributes)
        for output in outputs:
            output.owner_opr = node
        self.graph.add_op(node)
        return node

    def discard(self, tensor: IRTensor) -> None:
        """Takes away the operation that makes a tensor that nothing will read, and its weights, and frees their names."""
        node = tensor.owner_opr
        self.graph.delete_ops(self.graph.all_oprs.index(node))
        kept = {id(held) for other in self.graph.all_oprs for held in other.inp_tensors}
        gone = [*node.out_tensors, *(held for held in node.inp_tensors if held.np_data is not None)]
        self._taken.difference_update(held.name for held in gone if id(held) not in kept)

    def name_new(self, results: Sequence[IRTensor]) -> None:
        """Names what the lowering of ``path`` made: ``results`` after the path, the rest after what it is."""
        for result in results:
            if not result.name:
                result.name = self._free(self.path)
        for tensor, role in self._unnamed:
            if not tensor.name:
                maker = getattr(tensor.owner_opr, "kind", "")
                tensor.name = self._free(f"{self.path}.{maker.lower() or role}")
        self._unnamed.clear()

    def reserve(self, names: Iterable[str]) -> None:
        """Keeps names for inputs and results."""
        self._taken.update(names)

    def _free(self, name: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_./-]", "", name)
        free, count = name, 1
        while free in self._taken:
            free, count = f"{name}_{count}", count + 1
        self._taken.add(free)
        return free

    def finish(self, results: Sequence[Tuple[IRTensor, str]]) -> None:
        """Declares the graph's results under their names, and drops what none of them is computed from."""
        for node in self.graph.all_oprs:
            node.label = node.out_tensors[0].name
        for tensor, name in results:
            tensor.name = name
            self.graph.add_net_outputs(tensor)
        wanted = {id(tensor) for tensor, _ in results}
        kept: List[Node] = []
        for node in reversed(self.graph.all_oprs):
            if any(id(output) in wanted for output in node.out_tensors):
                wanted.update(id(tensor) for tensor in node.inp_tensors)
                kept.append(node)
        kept.reverse()
        self.graph.all_oprs[:] = kept
        self.graph._opr_ids[:] = [id(node) for node in kept]

    def to_give(self, tensor: IRTensor) -> bool:
        """Whether the tensor may become a result: an operation makes it, and it is no other result yet."""
        free = isinstance(tensor.owner_opr, Node) and id(tensor) not in self._given
        self._given.add(id(tensor))
        return free


def _content(array: Array) -> Tuple[Any, ...]:
    data = memoryview(array.reshape(-1)).cast("B") if array.size else b""
    digest = hashlib.blake2b(data, digest_size=16).digest()
    return array.dtype.str, array.shape, digest


def size_of(shape: Shape) -> int:
    """The number of elements of a tensor of this shape."""
    return int(np.prod(shape, dtype=np.int64))
