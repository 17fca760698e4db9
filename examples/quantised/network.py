"""A small residual network for 8 x 8 digits, made of the modules that MegEngine quantises as one."""

from __future__ import annotations

import megengine
import megengine.functional as F
import megengine.module as M
from megengine.quantization import disable_observer, ema_fakequant_qconfig, quantize_qat


class Block(M.Module):
    """Two convolutions and a way past them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = M.ConvBnRelu2d(channels_in, channels_out, 3, stride, 1)
        self.second = M.ConvBn2d(channels_out, channels_out, 3, 1, 1)
        self.past = M.ConvBn2d(channels_in, channels_out, 1, stride)
        self.add = M.Elemwise("FUSE_ADD_RELU")

    def forward(self, x: megengine.Tensor) -> megengine.Tensor:
        return self.add(self.second(self.first(x)), self.past(x))


class Digits(M.Module):
    """Takes images [n, 1, 8, 8] from 0 to 16, gives one score for each digit [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = M.QuantStub(), M.DequantStub()
        self.features = M.Sequential(M.ConvBnRelu2d(1, 16, 3, 1, 1), Block(16, 24, 2), Block(24, 32, 2))
        self.drop = M.Dropout(0.1)
        self.scores = M.Linear(32 * 4, 10)

    def forward(self, image: megengine.Tensor) -> megengine.Tensor:
        features = self.features(self.quant(image))
        return self.dequant(self.scores(self.drop(F.flatten(features, 1))))


def build(weights: str | None = None) -> Digits:
    """The network with fake quantisation, its ranges fixed; with the weights that ``train.py`` wrote if they are given."""
    network = quantize_qat(Digits(), qconfig=ema_fakequant_qconfig)
    if weights:
        network.load_state_dict(megengine.load(weights))
        disable_observer(network)
    return network


def build_float(weights: str | None = None) -> Digits:
    """The same network as it is before quantisation, for int8 after training; with the weights if they are given."""
    network = Digits()
    if weights:
        network.load_state_dict(megengine.load(weights))
    return network
