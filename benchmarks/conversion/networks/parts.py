"""What several families are made of."""

from __future__ import annotations

from typing import Any, Callable, Optional

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np

Act = Optional[Callable[[Any], Any]]


def parameter(*shape: int) -> mge.Parameter:
    """A parameter of small random values."""
    return mge.Parameter(np.random.standard_normal(shape).astype("float32") * 0.2)


class ConvBn(M.Module):
    """Convolution, batch normalisation, activation."""

    def __init__(
        self,
        inside: int,
        outside: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: Act = F.relu,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel // 2) * dilation
        self.conv = M.Conv2d(inside, outside, kernel, stride, padding, dilation, groups, bias=False)
        self.bn = M.BatchNorm2d(outside)
        self.act = act

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, outside, h / stride, w / stride)."""
        y = self.bn(self.conv(x))
        return y if self.act is None else self.act(y)


class SqueezeExcite(M.Module):
    """Scales the channels by a gate computed from their means."""

    def __init__(
        self, channels: int, squeezed: int, act: Act = F.relu, gate: Callable[[Any], Any] = F.hsigmoid
    ) -> None:
        super().__init__()
        self.down, self.up = M.Conv2d(channels, squeezed, 1), M.Conv2d(squeezed, channels, 1)
        self.act, self.gate = act, gate

    def forward(self, x: Any) -> Any:
        """Keeps the shape."""
        return x * self.gate(self.up(self.act(self.down(F.mean(x, (2, 3), keepdims=True)))))


class Inverted(M.Module):
    """Inverted residual: wide pointwise, depthwise, squeeze-excite where asked for, narrow pointwise."""

    def __init__(
        self,
        inside: int,
        hidden: int,
        outside: int,
        kernel: int,
        stride: int,
        act: Act,
        squeeze: Optional[M.Module] = None,
    ) -> None:
        super().__init__()
        self.wide = ConvBn(inside, hidden, 1, act=act) if hidden != inside else M.Identity()
        self.deep = ConvBn(hidden, hidden, kernel, stride, hidden, act)
        self.squeeze = squeeze or M.Identity()
        self.narrow = ConvBn(hidden, outside, 1, act=None)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Any) -> Any:
        """(n, inside, h, w) -> (n, outside, h / stride, w / stride)."""
        y = self.narrow(self.squeeze(self.deep(self.wide(x))))
        return x + y if self.adds else y


class SelfAttention(M.Module):
    """Multi-head self-attention over (n, length, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, M.Linear(width, 3 * width), M.Linear(width, width)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """``mask`` is added to the scores."""
        n, length, width = x.shape
        parts = F.reshape(self.qkv(x), (n, length, 3, self.heads, width // self.heads))
        parts = F.transpose(parts, (2, 0, 3, 1, 4))
        q, k, v = parts[0], parts[1], parts[2]
        scores = F.matmul(q, F.transpose(k, (0, 1, 3, 2))) * (width // self.heads) ** -0.5
        if mask is not None:
            scores = scores + mask
        y = F.matmul(F.softmax(scores, -1), v)
        return self.out(F.reshape(F.transpose(y, (0, 2, 1, 3)), (n, length, width)))


class Mlp(M.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.wide, self.act, self.narrow = M.Linear(width, hidden), M.GELU(), M.Linear(hidden, width)
        self.drop = M.Dropout(0.1)

    def forward(self, x: Any) -> Any:
        """Over the last axis."""
        return self.drop(self.narrow(self.act(self.wide(x))))


class EncoderLayer(M.Module):
    """A transformer's layer with normalisation before each part."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = M.LayerNorm(width), SelfAttention(width, heads)
        self.norm2, self.mlp = M.LayerNorm(width), Mlp(width, hidden)
        self.drop = M.Dropout(0.1)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """Keeps the shape (n, length, width)."""
        x = x + self.drop(self.attention(self.norm1(x), mask))
        return x + self.mlp(self.norm2(x))
