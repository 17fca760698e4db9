"""Stands in for PyTorch, which rknn-toolkit2 imports and does not use for ONNX networks.

The toolkit's module for PyTorch networks names a few things of torch while it is imported. They exist here, and
everything else says plainly that it is left out: the real package is 800 MB.
"""

from torch import nn

__version__ = "2.2.0"
__all__ = ["nn", "no_grad"]


class no_grad:
    """A decorator and context that changes nothing: there are no gradients."""

    def __call__(self, function):
        """As a decorator."""
        return function

    def __enter__(self):
        """As a context."""
        return self

    def __exit__(self, *raised):
        """Let exceptions through."""
        return False


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"torch.{name} is left out of this toolchain: it takes ONNX networks, not PyTorch's")
