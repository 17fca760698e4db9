"""The grids of a quantised network that is written in a float format: noted while lowering, kept beside the file."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mgeconvert.converter_ir.ir_tensor import IRTensor

from .emission import Node
from .grid import Grid
from .primitives import Primitives
from .values import Value

FILE = "quant_params.json"
"""What stands beside an ONNX or Caffe model."""


@dataclass
class Notes:
    """Tensors of the graph with their grids, and nodes with those of their weights."""

    results: List[Tuple[IRTensor, Grid]] = field(default_factory=list)
    weights: List[Tuple[Node, Grid]] = field(default_factory=list)


def noted(p: Primitives) -> bool:
    """Whether grids are noted: they are where the format does not hold them itself."""
    return getattr(p, "notes", None) is not None


def note_result(p: Any, y: Value, grid: Grid) -> None:
    """Notes the grid of a tensor."""
    y.origin = None  # the tensor stays as it is: what follows is not folded into its maker
    for tensor in y.stored.values():
        p.notes.results.append((tensor, grid))


@contextmanager
def weights(p: Any, grid: Optional[Grid]) -> Iterator[None]:
    """Notes the grid of the weights of the layer that is lowered inside."""
    before = len(p.graph.all_oprs)
    yield
    if grid is not None and noted(p):
        p.notes.weights += [(node, grid) for node in p.graph.all_oprs[before:] if _weight(node) is not None][:1]


def _weight(node: Node) -> Any:
    """The weights of an operation: a tensor in ONNX, an array in Caffe."""
    arrays = [t for t in node.inp_tensors if t.np_data is not None and t.np_data.ndim > 1]
    return arrays[0] if arrays else next(iter(node.attributes.get("blobs", ())), None)


def written(p: Any) -> Dict[str, Any]:
    """The notes as JSON, once the graph is finished.

    ``activations`` by the name of the tensor or blob; ``weights`` by the name of the initialiser in ONNX, by that of
    the layer in Caffe. A tensor that is quantised twice has the grid of the first time.
    """
    nodes = {id(node) for node in p.graph.all_oprs}
    tensors = {id(t) for node in p.graph.all_oprs for t in [*node.inp_tensors, *node.out_tensors]}
    activations: Dict[str, Any] = {}
    for tensor, grid in p.notes.results:
        if id(tensor) in tensors:
            activations.setdefault(tensor.name, grid.noted())
    kernels: Dict[str, Any] = {}
    for node, grid in p.notes.weights:
        if id(node) in nodes:
            held = _weight(node)
            kernels[held.name if isinstance(held, IRTensor) else node.out_tensors[0].name] = grid.noted()
    return {"activations": activations, "weights": kernels}
