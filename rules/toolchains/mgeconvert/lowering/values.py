"""A value of the network while it is lowered: a concrete tensor, and where the produced graph holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple, Union

import megengine.functional as F
import numpy as np
from megengine import Tensor

Array = Any
"""A numpy array (numpy's own generic types are newer than Python 3.9)."""
Shape = Tuple[int, ...]
SMALL = 1 << 14
"""Elements of tensors whose memory is not worth a thought."""


class Unsupported(Exception):
    """An operation, or one use of it, that cannot be lowered; ``instead`` says what to write in its place."""

    def __init__(self, reason: str, instead: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.instead = instead


@dataclass(frozen=True)
class Convolved:
    """How a convolution's result was made, so that an affine map of its channels can be folded into its weights."""

    x: Value
    weight: Array
    bias: Optional[Array]
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int
    path: str
    """Where in the network it is."""


@dataclass(eq=False)
class Value:
    """``tensor`` is what MegEngine computes for the sample.

    ``stored`` holds the tensors of the produced graph by layout: ``plain`` is the order of MegEngine, ``nhwc`` that of
    TFLite for four dimensions. A value that is stored nowhere is a constant of the network.
    """

    tensor: Tensor
    stored: Dict[str, Any] = field(default_factory=dict)
    origin: Optional[Convolved] = None
    uses: int = 0
    """How many operations and results of the network read it."""

    @property
    def shape(self) -> Shape:
        """Its shape in MegEngine's order."""
        return tuple(int(length) for length in self.tensor._tuple_shape)

    @property
    def ndim(self) -> int:
        """The number of its dimensions."""
        return len(self.tensor._tuple_shape)

    @property
    def dtype(self) -> np.dtype:
        """Its type."""
        return np.dtype(self.tensor.dtype)

    @property
    def constant(self) -> bool:
        """Whether it is known before the network runs."""
        return not self.stored

    @property
    def array(self) -> Array:
        """What MegEngine computes for the sample, as a numpy array."""
        return array_of(self.tensor)


Operand = Union[Value, Tensor, Array, float, int, bool]
"""What an operation of the network may be given."""


def array_of(tensor: Tensor) -> Array:
    """A tensor's numbers. MegEngine keeps what ``Tensor.numpy`` gave as long as the tensor lives: a view forgets it."""
    if tensor.size < SMALL:
        return tensor.numpy()
    return F.reshape(tensor, (1, -1)).numpy().reshape(tensor._tuple_shape)


def constant(array: Operand) -> Value:
    """A value known before the network runs."""
    if isinstance(array, Value):
        return array
    return Value(array if isinstance(array, Tensor) else Tensor(np.asarray(array)))


def number(value: float) -> Value:
    """A float32 constant without dimensions."""
    return Value(Tensor(np.float32(value)))


def known(operand: Operand, what: str) -> Array:
    """The array of a constant operand; Unsupported when the network computes it."""
    if isinstance(operand, Value):
        if not operand.constant:
            raise Unsupported(f"{what} is computed by the network, where a constant is needed")
        return operand.array
    return array_of(operand) if isinstance(operand, Tensor) else np.asarray(operand)


def whole_numbers(operand: Any, what: str = "a shape or an axis") -> Tuple[int, ...]:
    """The integers of a constant, a sequence of constants, or one constant."""
    if isinstance(operand, (list, tuple)):
        return tuple(int(known(item, what)) for item in operand)
    return tuple(int(item) for item in known(operand, what).reshape(-1))


def whole_number(operand: Any, what: str = "an axis") -> int:
    """The integer of a constant."""
    return int(known(operand, what))


def spread(operand: Any, count: int) -> Shape:
    """A size for each of ``count`` axes, from one number or one number for each."""
    sizes = whole_numbers(operand, "a size")
    return sizes * count if len(sizes) == 1 else sizes
