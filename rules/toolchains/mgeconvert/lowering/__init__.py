"""Concrete lowering: a traced float network becomes primitives, which one module for each format emits into
mgeconvert's IR graph; mgeconvert's own converters write it.

Start with :func:`walk.lower`. A new operation of MegEngine is a new handler in the module of its topic; a new primitive
is a method of :class:`primitives.Primitives` and an ``emit_`` method of each format that has it.
"""

from __future__ import annotations

from megengine.module.qat import QATModule
from megengine.module.quantized import QuantizedModule
from megengine.traced_module import TracedModule

from . import (
    activation,
    convolution,
    elementwise,
    indexing,
    linear,
    normalisation,
    ordering,
    passing,
    pooling,
    quantised,
    recurrent,
    reduction,
    shape,
)
from .walk import CannotRun, Trouble, lower

__all__ = ["CannotRun", "Trouble", "is_quantised", "lower"]

HANDLERS = (
    activation, convolution, elementwise, indexing, linear, normalisation,
    ordering, passing, pooling, quantised, recurrent, reduction, shape,
)  # fmt: skip
"""The modules whose handlers are in the table."""


def is_quantised(network: TracedModule) -> bool:
    """Whether quantisation parameters are part of the network: it was traced after ``quantize_qat``."""
    modules = list(network.modules())
    return any(
        isinstance(part, (QATModule, QuantizedModule)) or (isinstance(part, TracedModule) and part.is_qat)
        for part in modules
    )
