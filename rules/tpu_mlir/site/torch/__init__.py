"""Stands in for PyTorch, which tpu-mlir imports and does not use for ONNX networks: the real package is 800 MB."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"torch.{name} is left out of this toolchain: it takes ONNX networks, not PyTorch's")
