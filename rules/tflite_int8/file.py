"""A TFLite file as objects: what the quantiser asks of it, and what is read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from megbuild_worker.job import Refusal

SIGNATURE = "serving_default"
IDENTIFIER = b"TFL3"
ENDLESS = 1e30
"""From here on a number stands for infinity: the border of a maximum is the smallest float there is."""
_KINDS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}


class File:
    """The model and its one graph."""

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        if len(self.model.subgraphs) != 1:
            raise Refusal(f"the TFLite file holds {len(self.model.subgraphs)} graphs")
        (self.graph,) = self.model.subgraphs
        for code in self.model.operatorCodes:  # older files have the code in the one field, newer ones in both
            code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)

    @property
    def inputs(self) -> list[Any]:
        """The tensors that are given."""
        return [self.graph.tensors[number] for number in self.graph.inputs]

    @property
    def results(self) -> list[Any]:
        """The tensors that are computed for the caller."""
        return [self.graph.tensors[number] for number in self.graph.outputs]

    def type_of(self, tensor: Any) -> str:
        """The type as numpy names it."""
        return _TYPES[tensor.type]

    def integers(self) -> bool:
        """Whether any tensor is quantised."""
        return any(
            self.type_of(tensor) in ("int8", "uint8", "int16") and tensor.quantization for tensor in self.graph.tensors
        )

    def constant(self, tensor: Any) -> Any:
        """The data of a tensor that is part of the file, else None."""
        return self.model.buffers[tensor.buffer].data

    def borders(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """The operations that put a border of one number around a tensor: operation, tensor, number and result."""
        for operator in self.graph.operators:
            if _KINDS[self.model.operatorCodes[operator.opcodeIndex].builtinCode] == "PADV2":
                source, _, number = (self.graph.tensors[index] for index in operator.inputs)
                yield operator, source, number, self.graph.tensors[operator.outputs[0]]

    def prepare(self) -> None:
        """Writes what the quantiser asks for: a signature, and borders in a form that it takes.

        It wants a border's number to have the rank of the tensor, which the interpreter does not mind, and to belong to no other.
        """
        for operator, source, number, _ in list(self.borders()):
            if np.frombuffer(bytes(self.constant(number)), np.float32)[0] == 0:
                operator.opcodeIndex = self._code(schema.BuiltinOperator.PAD)
                operator.builtinOptionsType = schema.BuiltinOptions.PadOptions
                operator.builtinOptions = schema.PadOptionsT()
                operator.inputs = operator.inputs[:2]
            else:
                number.shape = np.ones(len(source.shape), np.int32)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self._named(number) for number in self.graph.inputs]
        signature.outputs = [self._named(number) for number in self.graph.outputs]
        self.model.signatureDefs = [signature]

    def _named(self, number: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = self.graph.tensors[number].name, int(number)
        return entry

    def _code(self, kind: int) -> int:
        """The index of an operator's code, added where the file has none."""
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == kind:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def name_ends(self, like: File) -> None:
        """Gives inputs and results the names that they have in another file; a tensor inside that has one of them gets another."""
        for tensor, other in zip([*self.inputs, *self.results], [*like.inputs, *like.results]):
            for inside in self.graph.tensors:
                if inside.name == other.name and inside is not tensor:
                    inside.name = tensor.name if tensor.name != inside.name else inside.name + b"_int8"
            tensor.name = other.name

    def packed(self) -> bytes:
        """The file's bytes."""
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())
