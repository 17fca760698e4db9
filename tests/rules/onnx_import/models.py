"""Small ONNX models made with onnx's own helpers: what other exporters' files hold and PyTorch's do not."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODELS: dict[str, Callable[[], onnx.ModelProto]] = {}


def model(function: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
    """Registers a model under its function's name."""
    MODELS[function.__name__] = function
    return function


def graph(
    nodes: Any, inputs: Any, results: Any, constants: Any = None, opset: int = 13, **more: Any
) -> onnx.ModelProto:
    """A model; ``inputs`` and ``results`` are name -> shape, ``constants`` name -> array."""
    constants = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in results.items()]
    given += more.pop("more_inputs", [])
    built = helper.make_graph(nodes, "made", given, made, constants)
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def weights(*shape: int) -> Any:
    """Seeded weights."""
    return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


@model
def unnamed_nodes() -> onnx.ModelProto:
    """Nodes without names, and a Flatten that does not say its axis."""
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"])]
    return graph(nodes, {"x": [1, 2, 3]}, {"y": [1, 4]}, {"w": weights(6, 4)})


@model
def initialisers_as_inputs() -> onnx.ModelProto:
    """As files before IR 4 had to list them."""
    extra = [helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 2, 3, 3])]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 0, 0, 1], auto_pad="NOTSET")]
    return graph(nodes, {"x": [1, 2, 5, 5]}, {"y": [1, 4, 4, 4]}, {"w": weights(4, 2, 3, 3)}, more_inputs=extra)


@model
def shape_at_run_time() -> onnx.ModelProto:
    """Shape, Gather, Concat and Reshape: nothing of it is in the .tm."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Concat", ["n", "rest"], ["to"], axis=0), helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]  # fmt: skip
    constants = {"zero": np.array([0]), "rest": np.array([-1])}
    return graph(nodes, {"x": ["batch", 2, 3]}, {"y": ["batch", "all"]}, constants)


@model
def old_softmax() -> onnx.ModelProto:
    """Before opset 13 over all axes from 1 on."""
    return graph([helper.make_node("Softmax", ["x"], ["y"])], {"x": [2, 3, 4]}, {"y": [2, 3, 4]}, opset=11)


@model
def taken_apart() -> onnx.ModelProto:
    """An operator without a handler that ONNX defines by others."""
    nodes = [helper.make_node("NegativeLogLikelihoodLoss", ["x", "label"], ["y"], reduction="none")]
    return graph(nodes, {"x": [2, 3]}, {"y": [2]}, {"label": np.array([1, 2])})


@model
def own_function() -> onnx.ModelProto:
    """A function that the file brings along, in a domain of its own."""
    inner = [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Add", ["t", "a"], ["b"])]
    function = helper.make_function("own", "Twice", ["a"], ["b"], inner, [helper.make_opsetid("", 13)])
    made = graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="own")], {"x": [1, 4]}, {"y": [1, 4]}, functions=[function]
    )
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


@model
def newer_than_the_runtime() -> onnx.ModelProto:
    """Opset 21 and IR 10, of operators that both left alone."""
    made = graph([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]}, opset=21)
    made.ir_version = 10
    return made


@model
def resize_cubic() -> onnx.ModelProto:
    """No such thing in MegEngine: by matrices."""
    nodes = [
        helper.make_node("Resize", ["x", "", "f"], ["y"], mode="cubic", coordinate_transformation_mode="half_pixel")
    ]
    return graph(nodes, {"x": [1, 2, 4, 4]}, {"y": [1, 2, 8, 6]}, {"f": np.array([1, 1, 2, 1.5], np.float32)})


@model
def scattered() -> onnx.ModelProto:
    """What a slice that is assigned to becomes."""
    nodes = [helper.make_node("ScatterND", ["x", "at", "u"], ["y"])]
    return graph(nodes, {"x": [4, 3]}, {"y": [4, 3]}, {"at": np.array([[2], [0]]), "u": weights(2, 3)})


@model
def refused_all_at_once() -> onnx.ModelProto:
    """Three nodes of two operators that MegEngine lacks, and one that it has between them."""
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"), helper.make_node("Relu", ["x"], ["r"], name="fine"),
        helper.make_node("Det", ["r"], ["b"], name="second"), helper.make_node("NonZero", ["b"], ["c"], name="third"),
        helper.make_node("Cast", ["c"], ["d"], to=1), helper.make_node("ReduceSum", ["d"], ["e"], keepdims=0),
        helper.make_node("Add", ["a", "e"], ["y"]),
    ]  # fmt: skip
    return graph(nodes, {"x": [2, 3, 3]}, {"y": [2]})


@model
def random_values() -> onnx.ModelProto:
    """Other values every time: nothing can be compared with them."""
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["r"], name="dice"),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return graph(nodes, {"x": [1, 4]}, {"y": [1, 4]})


@model
def other_domain() -> onnx.ModelProto:
    """An operator that ONNX does not define, though onnxruntime runs it."""
    made = graph(
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft", name="foreign")], {"x": [1, 4]}, {"y": [1, 4]}
    )
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


@model
def far_too_new() -> onnx.ModelProto:
    """Opset 23."""
    return graph([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 4]}, {"y": [1, 4]}, opset=23)


@model
def far_too_old() -> onnx.ModelProto:
    """Opset 6, with the axis at which the second operand begins."""
    nodes = [helper.make_node("Add", ["x", "b"], ["y"], broadcast=1, axis=1)]
    return graph(nodes, {"x": [1, 3, 2, 2]}, {"y": [1, 3, 2, 2]}, {"b": weights(3)}, opset=6)
