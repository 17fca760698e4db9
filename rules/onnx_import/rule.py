"""onnx_import: a delivered ONNX file -> .tm

Reads the file node by node and calls MegEngine's functions, once to compare every node with onnxruntime and once to
trace. What depends on no input (shapes, masks, folded constants) is a constant; an operator that MegEngine lacks is
taken apart by its definition in ONNX where it has one. Every node that cannot be taken is named, all at once.

The reference of such a model is the file itself, run by onnxruntime.
"""

from megbuild.rule import Rule

RULE = Rule(
    consumes="onnx",
    produces="tm",
    files=(".tm",),
    toolchain="mgeconvert",
    notes=("operations.json",),
)
