"""How a family says what is in it: small and full-size networks, their inputs, and parameters that no error hides behind."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple, Union

import megengine as mge
import megengine.module as M
import numpy as np

Shape = Tuple[int, ...]


@dataclass(frozen=True)
class Whole:
    """An input of whole numbers from 0 up to ``end``, without it: tokens of a vocabulary of that size."""

    shape: Shape
    end: int


Input = Union[Shape, Whole]


@dataclass(frozen=True)
class Network:
    """A network and its inputs; ``full`` are those with the channels and the inputs of the published ones."""

    build: Callable[[], M.Module]
    inputs: Tuple[Input, ...]
    full: bool

    def make(self) -> M.Module:
        """The network in eval mode, with the same parameters on every machine."""
        source = np.random.RandomState(7)
        np.random.seed(3)
        mge.random.seed(3)
        network = self.build()
        for part in network.modules():
            _fill(part, source)
        network.eval()
        return network

    def feeds(self, seed: int) -> List[Any]:
        """One array for each input: floats from the normal distribution, whole numbers evenly."""
        source = np.random.RandomState(seed)
        return [
            source.randint(0, spec.end, spec.shape).astype("int32")
            if isinstance(spec, Whole)
            else source.standard_normal(spec).astype("float32")
            for spec in self.inputs
        ]


def small(build: Callable[[], M.Module], *inputs: Input) -> Network:
    """A network of the family's shape that converts in a second."""
    return Network(build, inputs, full=False)


def full(build: Callable[[], M.Module], *inputs: Input) -> Network:
    """A network of the published size."""
    return Network(build, inputs, full=True)


def families() -> List[str]:
    """The names of all families, in the order of the alphabet."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "parts", "registry")
    )


def networks(family: str) -> Iterator[Tuple[str, Network]]:
    """The networks of a family by name."""
    found: Dict[str, Network] = importlib.import_module(f"networks.{family}").NETWORKS
    return iter(found.items())


def _fill(part: M.Module, source: np.random.RandomState) -> None:
    """Weights that keep the size of what flows through, and statistics, scales and biases that count.

    What MegEngine begins with (biases of zero, variances of one) would hide a converter that leaves them out; weights
    that shrink what flows would hide the input behind the biases.
    """

    def give(name: str, low: float, high: float) -> None:
        tensor = getattr(part, name, None)
        if isinstance(tensor, mge.Tensor):
            tensor[...] = mge.Tensor(source.uniform(low, high, tensor.shape).astype("float32"))

    give("running_mean", -0.3, 0.3)
    give("running_var", 0.6, 1.4)
    give("bias", -0.3, 0.3)
    if isinstance(part, (M.BatchNorm1d, M.BatchNorm2d, M.LayerNorm, M.GroupNorm)):
        give("weight", 0.7, 1.3)
    elif isinstance(part, M.ConvTranspose2d):
        strides = int(np.prod(part.stride))
        _spread(part, source, 2.0 * strides / (part.in_channels // part.groups * int(np.prod(part.kernel_size))))
    elif isinstance(part, M.Conv2d):
        _spread(part, source, 2.0 / int(np.prod(part.weight.shape[-3:])))
    elif isinstance(part, M.Linear):
        _spread(part, source, 1.0 / part.in_features)


def _spread(part: M.Module, source: np.random.RandomState, variance: float) -> None:
    weight = source.standard_normal(part.weight.shape) * np.sqrt(variance)
    part.weight[...] = mge.Tensor(weight.astype("float32"))
