"""The operators of ONNX, by family. Importing this fills the table."""

from . import convolution, elementwise, indexing, linear, normalisation, pooling, recurrent, reduction, resize, shape

__all__ = [
    "convolution", "elementwise", "indexing", "linear", "normalisation", "pooling", "recurrent", "reduction", "resize",
    "shape",
]  # fmt: skip
