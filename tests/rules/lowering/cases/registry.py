"""How a case is written: a function of the network's parts and its inputs, with what it needs said around it.

Cases are read in two ways: the driver imports them inside the mgeconvert toolchain, and pytest, which has no MegEngine,
reads the decorators' text to name its tests. So ``refused`` is a literal: format -> words of the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import megengine as mge
import megengine.module as M
import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Whole:
    """An input of whole numbers from ``low`` up to ``high``, without it."""

    shape: Shape
    high: int
    dtype: str = "int32"
    low: int = 0


@dataclass(frozen=True)
class Case:
    """A network, and what it is run on."""

    name: str
    build: Callable[[], M.Module]
    inputs: Sequence[Shape | Whole]

    def network(self) -> M.Module:
        """The network in eval mode, with parameters that no error hides behind."""
        mge.random.seed(3)
        np.random.seed(3)
        network = self.build()
        source = np.random.RandomState(5)
        for part in network.modules():
            stir(part, source)
        network.eval()
        return network

    def feeds(self) -> list[np.ndarray]:
        """The inputs: floats from the normal distribution, whole numbers evenly."""
        source = np.random.RandomState(1)
        return [
            source.randint(spec.low, spec.high, spec.shape).astype(spec.dtype)
            if isinstance(spec, Whole)
            else source.randn(*spec).astype("float32")
            for spec in self.inputs
        ]


CASES: dict[str, Case] = {}


def case(*inputs: Shape | Whole, refused: Any = None, **parts: Callable[[], Any]) -> Callable[[Any], Any]:
    """Registers a function ``f(net, *inputs)`` or a class of modules as a case; ``parts`` make submodules of ``net``."""

    def register(given: Any) -> Any:
        topic = given.__module__.rsplit(".", 1)[-1]
        build = given if isinstance(given, type) else lambda: _Network(given, parts)
        name = f"{topic}.{given.__name__}"
        CASES[name] = Case(name, build, inputs)
        return given

    return register


class _Network(M.Module):
    def __init__(self, function: Callable[..., Any], parts: dict[str, Callable[[], Any]]) -> None:
        super().__init__()
        self._function = function
        for name, make in parts.items():
            setattr(self, name, make())

    def forward(self, *inputs: Any) -> Any:
        """What the case says."""
        return self._function(self, *inputs)


def stir(part: M.Module, source: np.random.RandomState) -> None:
    """Gives statistics, weights and biases that start as zeros or ones values that count."""

    def give(name: str, low: float, high: float) -> None:
        tensor = getattr(part, name, None)
        if isinstance(tensor, mge.Tensor):
            tensor[...] = mge.Tensor(source.uniform(low, high, tensor.shape).astype("float32"))

    give("running_mean", -0.5, 0.5)
    give("running_var", 0.5, 1.5)
    if isinstance(part, (M.BatchNorm1d, M.BatchNorm2d, M.LayerNorm, M.GroupNorm, M.InstanceNorm, M.GeneralNorm)):
        give("weight", 0.5, 1.5)
    give("bias", -0.5, 0.5)


def parameter(*shape: int) -> Callable[[], Any]:
    """A parameter of the network with fixed random values."""
    return lambda: mge.Parameter(np.random.RandomState(7).randn(*shape).astype("float32"))


def conv(inside: int, outside: int, kernel: int = 3, **options: Any) -> Callable[[], M.Module]:
    """A convolution that keeps the size of an image unless told otherwise."""
    return lambda: M.Conv2d(inside, outside, kernel, **{"padding": kernel // 2, **options})


IMAGE = (1, 8, 6, 10)
PAIR = (2, 8, 6, 10)
ROWS = (5, 8)
SEQUENCE = (2, 5, 8)
