"""Stands in for onnxruntime-extensions, with which tpu-mlir would run operators that are no ONNX.

Importing it defines a few of them, as below; running one is left out.
"""


class PyOp:
    """Names of types."""

    dt_float = dt_int64 = None


def onnx_op(**described):
    """A decorator that changes nothing."""
    return lambda function: function


class PyOrtFunction:
    """Would run a network with such operators."""

    @classmethod
    def from_model(cls, model):
        """Say what is missing."""
        raise NotImplementedError("operators of onnxruntime-extensions are left out of this toolchain")
