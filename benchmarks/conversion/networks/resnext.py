"""ResNeXt: bottlenecks with grouped convolutions."""

from __future__ import annotations

from .registry import full, small
from .residual import Bottleneck, ResNet

NETWORKS = {
    "8 groups of 4": small(lambda: ResNet(10, 4, Bottleneck, (1, 1), 64, groups=8, per_group=4), (1, 3, 32, 32)),
    "ResNeXt-50 32x4d": full(
        lambda: ResNet(1000, 7, Bottleneck, (3, 4, 6, 3), groups=32, per_group=4), (1, 3, 224, 224)
    ),
}
