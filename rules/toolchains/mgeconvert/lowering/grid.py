"""The grid of numbers that a quantised tensor can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np
from megengine.quantization.utils import QParams

from .values import Array, Unsupported


@dataclass(frozen=True)
class Grid:
    """The numbers ``scale * (q - zero_point)`` for the whole numbers q from ``low`` to ``high``; ``dtype`` as MegEngine calls it."""

    scale: float
    zero_point: int
    low: int
    high: int
    dtype: str

    @property
    def symmetric(self) -> bool:
        """Whether zero is the whole number 0."""
        return self.zero_point == 0 and self.low < 0

    @property
    def shift(self) -> int:
        """What is added to q to store it in a signed type."""
        return -128 if self.low >= 0 else 0

    @property
    def storage(self) -> type:
        """The type that holds the numbers in a file."""
        if (self.low, self.high) == (-32768, 32767):
            return np.int16
        if (self.low, self.high) not in ((-128, 127), (-127, 127), (0, 255)):
            raise Unsupported(
                f"the quantised type {self.dtype}, {self.low} to {self.high}, is not of 8 bits", "qint8 or quint8"
            )
        return np.int8

    @property
    def stored_zero(self) -> int:
        """The zero point of the same grid in the type that holds it."""
        return self.zero_point + self.shift

    @property
    def reach(self) -> int:
        """The largest distance of a number from zero, in steps."""
        return max(self.zero_point - self.low, self.high - self.zero_point)

    def widened(self, factor: int) -> Grid:
        """The grid in 16 bits with ``factor`` times as many numbers, zero in the middle."""
        return Grid(float(np.float32(self.scale) / np.float32(factor)), 0, -32768, 32767, "qint16")

    def stored(self, array: Array) -> Array:
        """The nearest whole numbers of the grid, as they are held; halves go away from zero, as in MegEngine."""
        steps = np.asarray(array, np.float32) / np.float32(self.scale)
        nearest = np.copysign(np.floor(np.abs(steps) + np.float32(0.5)), steps) + self.zero_point
        return (np.clip(nearest, self.low, self.high) + self.shift).astype(self.storage)

    def noted(self) -> Dict[str, Any]:
        """As JSON; ``real = scale * (q - zero_point)``."""
        return {
            "dtype": self.dtype, "scale": self.scale, "zero_point": self.zero_point, "qmin": self.low, "qmax": self.high,
        }  # fmt: skip


def grid_of(fake_quant: Any, observer: Any, also_disabled: bool) -> Optional[Grid]:
    """The grid of a layer's weights or result; None where they are not quantised.

    ``also_disabled``: the grid that was found counts even if the network does not round to it.
    """
    if fake_quant is None and (observer is None or not also_disabled):
        return None
    if fake_quant is not None and not (fake_quant.enabled or also_disabled):
        return None
    lowest, highest = getattr(observer, "min_val", None), getattr(observer, "max_val", None)
    if lowest is not None and highest is not None and float(lowest.numpy()) > float(highest.numpy()):
        raise Unsupported("its range was never observed", "training or calibration steps with observers enabled")
    source = fake_quant if hasattr(fake_quant, "get_qparams") else observer
    if not hasattr(source, "get_qparams"):
        return None
    params: QParams = source.get_qparams()
    scale, kind = params.scale.numpy().reshape(-1), params.dtype_meta
    zero = 0 if params.zero_point is None else int(np.round(params.zero_point.numpy().reshape(-1)[0]))
    if scale.size != 1:
        raise Unsupported("a scale for each channel", "one scale for a tensor, as MegEngine's own observers find")
    return Grid(float(scale[0]), zero, int(kind.qmin), int(kind.qmax), kind.name)
