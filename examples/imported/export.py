"""Makes network.onnx and the samples: a small network as PyTorch exports it. Run once with torch 2.13 and onnx."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch import nn


class Block(nn.Module):
    """Depthwise and pointwise convolution with a gate on the channels, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.gate = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Sigmoid())
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) -> the same."""
        y = nn.functional.silu(self.norm(self.depthwise(x)))
        y = y * self.gate(y.mean((2, 3)))[:, :, None, None]
        return x + self.pointwise(y)


def main() -> None:
    """Writes the files beside this one."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 12, 3, stride=2, padding=1)
    network = nn.Sequential(
        first, nn.ReLU(), Block(12), Block(12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
    ).eval()
    example = torch.zeros(1, 3, 32, 32)
    torch.onnx.export(
        network, (example,), "network.onnx", input_names=["image"], output_names=["scores"], opset_version=18,
        dynamo=True, external_data=False,
    )  # fmt: skip
    model = onnx.load("network.onnx")
    for told in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del told.metadata_props[:]  # paths of the machine that exported it
    onnx.save(model, "network.onnx")
    np.save("samples/images.npy", np.random.RandomState(0).rand(8, 3, 32, 32).astype("float32"))


if __name__ == "__main__":
    main()
