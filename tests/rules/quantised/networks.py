"""Small networks of ordinary families, trained for quantisation for a few steps, so that their grids are real."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import config
from megengine.autodiff import GradManager
from megengine.optimizer import SGD
from megengine.quantization import (
    FakeQuantize,
    QConfig,
    QuantMode,
    disable_observer,
    ema_fakequant_qconfig,
    quantize_qat,
)
from megengine.quantization.observer import ExponentialMovingAverageObserver, MinMaxObserver

NETWORKS: dict[str, Callable[[], M.Module]] = {}
QCONFIGS: dict[str, QConfig] = {}
"""How a network is quantised, where it is not by MegEngine's ``ema_fakequant_qconfig``."""
SHAPE = (3, 16, 16)
CLASSES = 10


def network(function: Callable[[], M.Module]) -> Callable[[], M.Module]:
    """Registers a network by the name of its function."""
    NETWORKS[function.__name__] = function
    return function


class _Residual(M.Module):
    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = M.ConvBnRelu2d(inside, out, 3, stride, 1)
        self.conv2 = M.ConvBn2d(out, out, 3, 1, 1)
        self.short = M.ConvBn2d(inside, out, 1, stride) if stride > 1 else M.Identity()
        self.add = M.Elemwise("FUSE_ADD_RELU")

    def forward(self, x: Any) -> Any:
        return self.add(self.conv2(self.conv1(x)), self.short(x))


class _Residuals(M.Module):
    """A ResNet: sums with ReLU fused, averages before its classifier."""

    def __init__(self, quantised_head: bool = True) -> None:
        super().__init__()
        self.quant, self.dequant = M.QuantStub(), M.DequantStub()
        self.stem = M.ConvBnRelu2d(3, 16, 3, 1, 1)
        self.pool = M.MaxPool2d(3, 2, 1)
        self.blocks = M.Sequential(_Residual(16, 16, 1), _Residual(16, 32, 2), _Residual(32, 32, 1))
        self.head = M.Linear(32, CLASSES)
        if not quantised_head:
            self.head.disable_quantize()
        self.quantised_head = quantised_head

    def forward(self, x: Any) -> Any:
        x = self.blocks(self.pool(self.stem(self.quant(x))))
        x = F.flatten(F.avg_pool2d(x, 4), 1)
        return self.dequant(self.head(x)) if self.quantised_head else self.head(self.dequant(x))


@network
def residual() -> M.Module:
    """All of it is quantised."""
    return _Residuals()


@network
def residual_float_head() -> M.Module:
    """A float linear layer follows the quantised part."""
    return _Residuals(quantised_head=False)


class _Shuffled(M.Module):
    """A ShuffleNet unit: half of the channels pass, all are shuffled by shapes that are read at run time."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        half = channels // 2
        inside = half if stride == 1 else channels
        self.stride = stride
        self.main = M.Sequential(
            M.ConvBnRelu2d(inside, half, 1),
            M.ConvBn2d(half, half, 3, stride, 1, groups=half),
            M.ConvBnRelu2d(half, half, 1),
        )
        self.pass_by = (
            M.Sequential(M.ConvBn2d(inside, inside, 3, stride, 1, groups=inside), M.ConvBnRelu2d(inside, half, 1))
            if stride > 1
            else M.Identity()
        )
        self.concat = M.Concat()

    def forward(self, x: Any) -> Any:
        if self.stride > 1:
            return self.concat([self.pass_by(x), self.main(x)], 1)
        n, c, h, w = x.shape
        x = F.reshape(x, (n * c // 2, 2, h * w))
        x = F.transpose(x, (1, 0, 2))
        x = F.reshape(x, (2, -1, c // 2, h, w))
        return self.concat([x[0], self.main(x[1])], 1)


class _ShuffleNet(M.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = M.QuantStub(), M.DequantStub()
        self.stem = M.ConvBnRelu2d(3, 16, 3, 1, 1)
        self.units = M.Sequential(_Shuffled(16, 2), _Shuffled(16, 1), _Shuffled(16, 1))
        self.last = M.ConvBnRelu2d(16, 32, 1)
        self.head = M.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.last(self.units(self.stem(self.quant(x))))
        x = F.mean(F.mean(x, 3), 2)
        return self.head(self.dequant(x))


@network
def shuffle() -> M.Module:
    """Channel shuffle, run-time shapes, concatenation with scales."""
    return _ShuffleNet()


class _Inverted(M.Module):
    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        wide = inside * 3
        self.layers = M.Sequential(
            M.ConvBnRelu2d(inside, wide, 1),
            M.ConvBnRelu2d(wide, wide, 3, stride, 1, groups=wide),
            M.ConvBn2d(wide, out, 1),
        )
        self.add = M.Elemwise("ADD") if inside == out and stride == 1 else None

    def forward(self, x: Any) -> Any:
        y = self.layers(x)
        return self.add(x, y) if self.add is not None else y


class _MobileNet(M.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = M.QuantStub(), M.DequantStub()
        self.features = M.Sequential(
            M.ConvBnRelu2d(3, 8, 3, 2, 1), _Inverted(8, 8, 1), _Inverted(8, 16, 2), _Inverted(16, 16, 1),
            M.ConvBnRelu2d(16, 32, 1), M.AvgPool2d(4),
        )  # fmt: skip
        self.drop = M.Dropout(0.2)
        self.head = M.Linear(32, CLASSES)

    def forward(self, x: Any) -> Any:
        x = F.flatten(self.features(self.quant(x)), 1)
        return self.dequant(self.head(self.drop(x)))


@network
def mobile() -> M.Module:
    """Depthwise convolutions, sums, Dropout before the classifier."""
    return _MobileNet()


class _Plain(M.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = M.QuantStub(), M.DequantStub()
        self.conv1 = M.ConvRelu2d(3, 8, 3, padding=1)
        self.conv2 = M.ConvRelu2d(8, 16, 3, stride=2)
        self.conv3 = M.Conv2d(16, 16, 3, padding=1, groups=4)
        self.hidden = M.Linear(16 * 9, 24)
        self.tail = M.Sequential(M.Linear(24, 24), M.Sigmoid(), M.Linear(24, CLASSES))
        self.tail.disable_quantize()

    def forward(self, x: Any) -> Any:
        x = self.conv3(self.conv2(self.conv1(self.quant(x))))
        x = F.flatten(F.max_pool2d(F.relu(x), 2), 1)
        return self.tail(self.dequant(self.hidden(x)))


@network
def plain_float_tail() -> M.Module:
    """Convolutions without normalisation, one of them grouped, then float layers."""
    return _Plain()


class _Other(M.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = M.QuantStub(), M.DequantStub()
        self.down = M.ConvBnRelu2d(3, 8, 3, 2, 1)
        self.up = M.ConvTransposeBnRelu2d(8, 8, 2, 2, bias=False)
        self.gate = M.ConvRelu2d(3, 8, 1)
        self.mul, self.sub, self.sigmoid = M.Elemwise("MUL"), M.Elemwise("SUB"), M.Elemwise("SIGMOID")
        self.hidden = M.LinearBnRelu1d(8 * 16, 32)
        self.last = M.LinearRelu(32, 16)
        self.scores = M.Linear(16, CLASSES)

    def forward(self, x: Any) -> Any:
        x = self.quant(x)
        y = self.mul(self.up(self.down(x)), self.sigmoid(self.gate(x)))
        y = F.max_pool2d(self.sub(y, self.gate(x)), 4)
        return self.dequant(self.scores(self.last(self.hidden(F.flatten(y, 1)))))


@network
def other_layers() -> M.Module:
    """Transposed convolution, products, differences, a sigmoid, linear layers with normalisation and with ReLU."""
    return _Other()


@network
def unsigned() -> M.Module:
    """Results from 0 to 255 around a zero of their own."""
    return _Plain()


QCONFIGS["unsigned"] = QConfig(
    weight_observer=partial(MinMaxObserver, dtype="qint8_narrow"),
    act_observer=partial(ExponentialMovingAverageObserver, mode=QuantMode.ASYMMERTIC, dtype="quint8"),
    weight_fake_quant=partial(FakeQuantize, dtype="qint8_narrow"),
    act_fake_quant=partial(FakeQuantize, dtype="quint8"),
)


def trained(name: str, seed: int, steps: int) -> M.Module:
    """The network after some steps on images whose classes are patterns, with its ranges fixed.

    Every operation ends before the next one begins: as MegEngine trains by itself, three of 950 trainings on a busy machine came
    out otherwise, one of them with a NaN in a bias; of 500 in this way none did.
    """
    usual, config.async_level = config.async_level, 0
    mge.random.seed(seed)
    own = quantize_qat(NETWORKS[name](), qconfig=QCONFIGS.get(name, ema_fakequant_qconfig))
    own.train()
    optimizer, gradients = SGD(own.parameters(), lr=0.05, momentum=0.9), GradManager().attach(own.parameters())
    for step in range(steps):
        images, labels = patterns(32, 1000 * seed + step)
        for group in optimizer.param_groups:
            group["lr"] = 0.025 * (1 + np.cos(np.pi * step / steps))
        with gradients:
            gradients.backward(F.nn.cross_entropy(own(mge.Tensor(images)), mge.Tensor(labels)))
        optimizer.step().clear_grad()
    config.async_level = usual
    own.eval()
    disable_observer(own)
    return own


def patterns(count: int, seed: int) -> Any:
    """Images [count, *SHAPE] with their classes as labels."""
    shapes = np.random.RandomState(0).randn(CLASSES, *SHAPE).astype("float32")
    random = np.random.RandomState(100 + seed)
    labels = random.randint(0, CLASSES, count).astype("int32")
    return (shapes[labels] + random.randn(count, *SHAPE) * 0.7).astype("float32"), labels
