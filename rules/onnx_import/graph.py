"""Reads an ONNX graph: what its nodes say, with functions and operators without a handler taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Container, Dict, Iterator, List, Mapping, Sequence, Tuple

import onnx
import onnx.defs
import onnx.helper
import onnx.numpy_helper

STANDARD = ("", "ai.onnx")
DEPTH = 8
"""How often an operator may be taken apart into operators that are taken apart."""


@dataclass(frozen=True)
class Node:
    """One node: ``inputs`` and ``outputs`` are names of values, '' for one that is left out."""

    label: str
    operator: str
    domain: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int
    proto: onnx.NodeProto

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute's value, text as str and a tensor as array; ``default`` where the node does not say it."""
        return self.attributes.get(name, default)


def nodes(model: onnx.ModelProto, handled: Container[str]) -> Tuple[List[onnx.NodeProto], List[Node]]:
    """The graph's nodes in order, as they are written and as they are told; those that ``handled`` lacks are taken
    apart by the file's own functions, else by ONNX's definition of the operator, where there is one."""
    taken = _Apart(model, handled)
    protos = [simple for proto in model.graph.node for simple in taken.apart(proto, 0)]
    versions = {domain.domain: domain.version for domain in model.opset_import}
    opset = next((versions[name] for name in STANDARD if name in versions), 1)
    return protos, [_node(proto, opset) for proto in protos]


def _node(proto: onnx.NodeProto, opset: int) -> Node:
    attributes = {attribute.name: _value(attribute) for attribute in proto.attribute}
    label = proto.name or next((name for name in proto.output if name), proto.op_type)
    return Node(label, proto.op_type, proto.domain, tuple(proto.input), tuple(proto.output), attributes, opset, proto)


def _value(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [item.decode("utf-8", "replace") for item in value]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class _Apart:
    """Takes nodes apart. Values inside of one get names that start with its own."""

    def __init__(self, model: onnx.ModelProto, handled: Container[str]) -> None:
        self.handled = handled
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.versions = {entry.domain: entry.version for entry in model.opset_import}
        self.types: Dict[str, onnx.TypeProto] = {}
        for info in (*model.graph.input, *model.graph.value_info, *model.graph.output):
            self.types[info.name] = info.type
        for tensor in model.graph.initializer:
            self.types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        self.count = 0

    def apart(self, node: onnx.NodeProto, depth: int) -> Iterator[onnx.NodeProto]:
        function = self.functions.get((node.domain, node.op_type)) or self._definition(node)
        if function is None or depth == DEPTH:
            yield node
            return
        for inner in self._body(node, function):
            yield from self.apart(inner, depth + 1)

    def _definition(self, node: onnx.NodeProto) -> Any:
        """ONNX's own definition of an operator by simpler ones, for those that have no handler."""
        version = next((self.versions[name] for name in STANDARD if name in self.versions), 0)
        if node.domain not in STANDARD or node.op_type in self.handled or not version:
            return None
        try:
            schema = onnx.defs.get_schema(node.op_type, version)
        except onnx.defs.SchemaError:
            return None
        if schema.has_function:
            return schema.function_body
        if schema.has_context_dependent_function:
            types = [self.types.get(name) if name else onnx.TypeProto() for name in node.input]
            if all(given is not None for given in types):
                said = [given.SerializeToString() for given in types]
                body = schema.get_context_dependent_function(node.SerializeToString(), said)
                function = onnx.FunctionProto.FromString(body)
                return function if function.node else None
        return None

    def _body(self, node: onnx.NodeProto, function: Any) -> Iterator[onnx.NodeProto]:
        self.count += 1
        inside = f"{node.name or node.output[0]}/{node.op_type}{self.count}/"
        names = {"": ""}
        names.update(dict.fromkeys((*function.input, *function.output), ""))
        names.update(zip(function.input, node.input))
        names.update((formal, actual) for formal, actual in zip(function.output, node.output) if actual)
        given = {attribute.name: attribute for attribute in node.attribute}
        given.update({a.name: a for a in getattr(function, "attribute_proto", []) if a.name not in given})
        for number, written in enumerate(function.node):
            inner = onnx.NodeProto()
            inner.CopyFrom(written)
            inner.name = f"{inside}{number}"
            del inner.input[:], inner.output[:], inner.attribute[:]
            inner.input.extend(names.get(name, inside + name) for name in written.input)
            inner.output.extend(names.get(name) or (inside + name if name else "") for name in written.output)
            for attribute in written.attribute:
                if not attribute.ref_attr_name:
                    inner.attribute.append(attribute)
                elif attribute.ref_attr_name in given:
                    copy = inner.attribute.add()
                    copy.CopyFrom(given[attribute.ref_attr_name])
                    copy.name = attribute.name
            yield inner
