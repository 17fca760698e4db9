"""ONNX files of other exporters: read so that the onnxruntime of this toolchain takes them, and run.

A file may be newer than the runtime. What a newer version number does not change for the operators of the file is no
reason to refuse it: in memory, never on disk, it then gets the highest number that the runtime knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.defs
import onnx.helper

from megbuild_worker import onnx_wire
from megbuild_worker.job import Description, Refusal, Tensor

HIGHEST_IR = 9
HIGHEST_OPSET, HIGHEST_SAME = 19, 22
"""What onnxruntime 1.16 takes, and the version up to which the operators that are not in ``CHANGED`` mean the same."""
CHANGED = ("AffineGrid", "DFT", "DequantizeLinear", "Gelu", "GridSample", "GroupNormalization", "QuantizeLinear")
STANDARD = ("", "ai.onnx")

# onnx lists its operators when it is first asked for one: here, where actions are forked from, and not in each of them.
onnx.defs.has("Identity")


def load(path: Path) -> onnx.ModelProto:
    """The model as the runtime takes it; Refusal when it is no ONNX file, or one that this toolchain cannot run."""
    model = parse(path)
    model.ir_version = min(model.ir_version, HIGHEST_IR)
    for entry in model.opset_import:
        if entry.domain in STANDARD and entry.version > HIGHEST_OPSET:
            _lower(model, entry, path)
    return model


def parse(path: Path) -> onnx.ModelProto:
    """The model as the file has it; Refusal when it is none, reads other files, or claims what it does not hold."""
    try:
        onnx_wire.check(path)
        model = onnx.load(str(path), load_external_data=False)
    except onnx_wire.Fault as fault:
        raise Refusal(f"{path.name} {fault}") from None
    except Exception as error:
        raise Refusal(f"{path.name} is not an ONNX file: {error}") from error
    if not model.HasField("graph"):
        raise Refusal(f"{path.name} is not an ONNX file: it holds no graph")
    return model


def _lower(model: onnx.ModelProto, entry: Any, path: Path) -> None:
    names = {node.op_type for holder in (model.graph, *model.functions) for node in holder.node}
    changed = sorted(names.intersection(CHANGED))
    if entry.version > HIGHEST_SAME or changed:
        because = f", which changed {', '.join(changed)}" if changed else ""
        raise Refusal(
            f"{path.name} is of opset {entry.version}{because}; "
            f"onnxruntime here runs up to {HIGHEST_OPSET}: export it with opset_version={HIGHEST_OPSET} or less"
        )
    entry.version = HIGHEST_OPSET
    for function in model.functions:
        for own in function.opset_import:
            if own.domain in STANDARD:
                own.version = min(own.version, HIGHEST_OPSET)


def session(model: onnx.ModelProto, name: str, optimised: bool = True) -> Any:
    """onnxruntime on one thread; Refusal in its own words where it cannot run the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base class of their own
        raise Refusal(f"onnxruntime cannot run {name}: {error}") from error


def inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller gives: old files list their initialisers as inputs too."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def describe(path: Path) -> Description:
    """Inputs and results of a file, read back; an axis without a number is -1."""
    graph = parse(path).graph
    return {
        "inputs": [_tensor(value) for value in inputs(graph)],
        "results": [_tensor(value) for value in graph.output],
    }


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else -1 for axis in kind.shape.dim)
    return Tensor(value.name, shape, _dtype(value).name)


def _dtype(value: onnx.ValueInfoProto) -> Any:
    """The type of its numbers as NumPy has it; a file may say none, or one that nobody knows."""
    number = value.type.tensor_type.elem_type
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(number)
    except KeyError:
        raise Refusal(f'"{value.name}" has a type that ONNX does not know ({number})') from None


def cast(feeds: dict[str, Any], given: Sequence[onnx.ValueInfoProto]) -> dict[str, Any]:
    """The arrays by the file's names, integers and floats in the file's width: MegEngine has no int64 to declare."""
    types = {value.name: _dtype(value) for value in given}
    for name, array in feeds.items():
        if array.dtype.kind != types[name].kind:
            raise Refusal(f'input "{name}" is {types[name].name} in the file, declared is {array.dtype.name}')
    return {name: array.astype(types[name], copy=False) for name, array in feeds.items()}


def by_name(kind: str, declared: Sequence[Tensor], names: Sequence[str]) -> dict[str, str]:
    """Declared name -> name in the file. Names that a declaration cannot have go by position; Refusal where the
    numbers differ, or where only some of the names are the file's."""
    wanted = [tensor.name for tensor in declared]
    if set(wanted) == set(names):
        return dict(zip(wanted, wanted))
    if len(wanted) != len(names) or set(wanted) & set(names):
        there, said = ", ".join(names) or "none", ", ".join(wanted)
        raise Refusal(f"the file's {kind}s are {there}; declared are {said}")
    return dict(zip(wanted, names))
