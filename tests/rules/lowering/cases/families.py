"""Small networks of common families."""

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np

from .registry import case


class Block(M.Module):
    """Convolution, batch normalisation, activation."""

    def __init__(self, inside, outside, kernel=3, stride=1, groups=1, act=F.relu):
        super().__init__()
        self.conv = M.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = M.BatchNorm2d(outside)
        self.act = act

    def forward(self, x):
        y = self.bn(self.conv(x))
        return y if self.act is None else self.act(y)


class Squeeze(M.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = M.Conv2d(channels, channels // 4, 1), M.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        return x * F.hsigmoid(self.up(F.relu(self.down(F.mean(x, (2, 3), keepdims=True)))))


class Inverted(M.Module):
    def __init__(self, inside, outside, stride, wider, act, squeeze=False):
        super().__init__()
        hidden = inside * wider
        self.wide = Block(inside, hidden, 1, act=act)
        self.deep = Block(hidden, hidden, 3, stride, hidden, act)
        self.squeeze = Squeeze(hidden) if squeeze else M.Identity()
        self.narrow = Block(hidden, outside, 1, act=None)
        self.residual = stride == 1 and inside == outside

    def forward(self, x):
        y = self.narrow(self.squeeze(self.deep(self.wide(x))))
        return x + y if self.residual else y


@case((1, 3, 64, 64))
class MobileNetV2(M.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(3, 16, 3, 2, act=F.relu6)
        plan = ((16, 16, 1, 1), (16, 24, 2, 6), (24, 24, 1, 6), (24, 32, 2, 6))
        self.blocks = M.Sequential(*(Inverted(*entry, F.relu6) for entry in plan))
        self.head = Block(32, 64, 1, act=F.relu6)
        self.classify = M.Sequential(M.Dropout(0.2), M.Linear(64, 10))

    def forward(self, x):
        x = F.avg_pool2d(self.head(self.blocks(self.stem(x))), 8)
        return self.classify(F.flatten(x, 1))


@case((1, 3, 64, 64))
class MobileNetV3(M.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(3, 16, 3, 2, act=F.hswish)
        self.one, self.two = Inverted(16, 16, 1, 4, F.relu, True), Inverted(16, 24, 2, 4, F.hswish, True)
        self.classify = M.Linear(24, 10)

    def forward(self, x):
        return F.softmax(self.classify(F.mean(self.two(self.one(self.stem(x))), (2, 3))), 1)


@case((1, 3, 32, 32))
class ResNetInPlace(M.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(3, 16, 7, 2)
        self.a, self.b = Block(16, 16), Block(16, 16, act=None)
        self.c, self.d, self.short = Block(16, 32, stride=2), Block(32, 32, act=None), Block(16, 32, 1, 2, act=None)
        self.classify = M.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        y = self.b(self.a(x))
        y += x
        x = F.relu(y)
        y = self.d(self.c(x))
        y += self.short(x)
        return self.classify(F.flatten(F.adaptive_avg_pool2d(F.relu(y), 1), 1))


@case((1, 3, 32, 32))
class ResNeXt(M.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.pool = Block(3, 64, 7, 2), M.MaxPool2d(3, 2, 1)
        self.a, self.b, self.c = Block(64, 128, 1), Block(128, 128, 3, groups=32), Block(128, 64, 1, act=None)
        self.classify = M.Linear(64, 10)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = F.relu(x + self.c(self.b(self.a(x))))
        return self.classify(F.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class ShuffleUnit(M.Module):
    def __init__(self, channels, stride):
        super().__init__()
        half = channels // 2
        self.stride = stride
        inside = half if stride == 1 else channels
        self.main = M.Sequential(Block(inside, half, 1), Block(half, half, 3, stride, half, None), Block(half, half, 1))
        self.side = Block(channels, half, 3, 2) if stride == 2 else M.Identity()

    def forward(self, x):
        if self.stride == 2:
            return F.concat([self.side(x), self.main(x)], 1)
        n, c, h, w = x.shape
        x = x.reshape(n * c // 2, 2, h * w)
        x = F.transpose(x, (1, 0, 2)).reshape(2, -1, c // 2, h, w)
        return F.concat([x[0], self.main(x[1])], 1)


@case((1, 3, 64, 64))
class ShuffleNetV2(M.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.pool = Block(3, 16, 3, 2), M.MaxPool2d(3, 2, 1)
        self.units = M.Sequential(ShuffleUnit(16, 2), ShuffleUnit(16, 1), ShuffleUnit(16, 1))
        self.last, self.classify = M.AvgPool2d(8), M.Linear(16, 10)

    def forward(self, x):
        return self.classify(self.last(self.units(self.pool(self.stem(x)))).reshape(-1, 16))


@case((1, 3, 32, 32))
class DenseNet(M.Module):
    def __init__(self):
        super().__init__()
        self.stem = Block(3, 8)
        self.layers = [Block(8 + 4 * i, 4) for i in range(3)]
        self.classify = M.Linear(20, 5)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = F.concat([x, layer(x)], 1)
        return self.classify(F.mean(x, (2, 3)))


class Attention(M.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, M.Linear(width, 3 * width), M.Linear(width, width)

    def forward(self, x):
        n, length, width = x.shape
        parts = F.reshape(self.qkv(x), (n, length, 3, self.heads, width // self.heads))
        q, k, v = (F.transpose(parts, (2, 0, 3, 1, 4))[i] for i in range(3))
        weights = F.softmax(F.matmul(q, F.transpose(k, (0, 1, 3, 2))) * ((width // self.heads) ** -0.5), -1)
        return self.out(F.reshape(F.transpose(F.matmul(weights, v), (0, 2, 1, 3)), (n, length, width)))


@case((1, 3, 32, 32), refused={"caffe": "product of two activations"})
class VisionTransformer(M.Module):
    def __init__(self):
        super().__init__()
        width = 32
        self.patches = M.Conv2d(3, width, 8, 8)
        self.token = mge.Parameter(np.random.randn(1, 1, width).astype("float32"))
        self.place = mge.Parameter(np.random.randn(1, 17, width).astype("float32"))
        self.norm1, self.attention, self.norm2 = M.LayerNorm(width), Attention(width, 4), M.LayerNorm(width)
        self.wide, self.gelu, self.narrow = M.Linear(width, 64), M.GELU(), M.Linear(64, width)
        self.drop, self.classify = M.Dropout(0.1), M.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x)
        x = F.transpose(x.reshape(x.shape[0], x.shape[1], -1), (0, 2, 1))
        x = F.concat([F.broadcast_to(self.token, (x.shape[0], 1, 32)), x], 1) + self.place
        x = x + self.drop(self.attention(self.norm1(x)))
        x = x + self.narrow(self.gelu(self.wide(self.norm2(x))))
        return self.classify(x[:, 0])


class UNet(M.Module):
    def __init__(self, bilinear):
        super().__init__()
        self.bilinear = bilinear
        self.top, self.low, self.middle = Block(3, 8), Block(8, 16), Block(16, 16)
        self.up, self.join, self.out = M.ConvTranspose2d(16, 16, 2, 2), Block(24, 8), M.Conv2d(8, 2, 1)
        self.pool = M.MaxPool2d(2, 2)

    def forward(self, x):
        top = self.top(x)
        low = self.middle(self.low(self.pool(top)))
        up = F.vision.interpolate(low, scale_factor=2, mode="bilinear") if self.bilinear else self.up(low)
        return F.sigmoid(self.out(self.join(F.concat([top, up], 1))))


@case((1, 3, 32, 32))
class UNetTransposed(UNet):
    def __init__(self):
        super().__init__(False)


@case((1, 3, 32, 32))
class UNetBilinear(UNet):
    def __init__(self):
        super().__init__(True)


@case((1, 3, 64, 64))
class YoloHead(M.Module):
    def __init__(self):
        super().__init__()
        self.a = M.Sequential(Block(12, 16), M.Conv2d(16, 32, 3, 2, 1), M.LeakyReLU(0.1))
        self.b = M.Sequential(M.Conv2d(32, 32, 3, 2, 1), M.LeakyReLU(0.1))
        self.far, self.near = M.Conv2d(32, 21, 1), M.Conv2d(64, 21, 1)

    def boxes(self, x, stride):
        n, _, h, w = x.shape
        x = F.transpose(F.reshape(x, (n, 3, 7, h, w)), (0, 1, 3, 4, 2))
        place, size, rest = F.split(x, [2, 4], axis=4)
        return F.reshape(
            F.concat([F.sigmoid(place) * stride, F.exp(size) * float(stride), F.sigmoid(rest)], 4), (n, -1, 7)
        )

    def forward(self, x):
        x = F.concat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        a = self.a(x)
        b = self.b(a)
        near = F.concat([a, F.vision.interpolate(b, scale_factor=2, mode="nearest")], 1)
        return F.concat([self.boxes(self.far(b), 8), self.boxes(self.near(near), 4)], 1)


@case((1, 1, 16, 40))
class TextReader(M.Module):
    """CRNN: convolutions, then an LSTM over the width."""

    def __init__(self):
        super().__init__()
        self.features = M.Sequential(Block(1, 8), M.MaxPool2d(2), Block(8, 16), M.MaxPool2d((8, 2), (8, 2)))
        self.read, self.classify = M.LSTM(16, 12, bidirectional=True), M.Linear(24, 11)

    def forward(self, x):
        x = F.transpose(F.squeeze(self.features(x), 2), (2, 0, 1))
        return F.logsoftmax(self.classify(self.read(x)[0]), 2)


@case((2, 16))
class Generator(M.Module):
    """DCGAN."""

    def __init__(self):
        super().__init__()
        self.start = M.Linear(16, 16 * 4 * 4)
        self.grow = M.Sequential(
            M.ConvTranspose2d(16, 8, 4, 2, 1), M.BatchNorm2d(8), M.ReLU(), M.ConvTranspose2d(8, 3, 4, 2, 1)
        )

    def forward(self, z):
        return F.tanh(self.grow(self.start(z).reshape(-1, 16, 4, 4)))


@case((1, 16, 12))
class Mixer(M.Module):
    """MLP-Mixer block."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = M.LayerNorm(12), M.LayerNorm(12)
        self.tokens = M.Sequential(M.Linear(16, 24), M.GELU(), M.Linear(24, 16))
        self.channels = M.Sequential(M.Linear(12, 24), M.GELU(), M.Linear(24, 12))

    def forward(self, x):
        x = x + F.transpose(self.tokens(F.transpose(self.norm1(x), (0, 2, 1))), (0, 2, 1))
        return x + self.channels(self.norm2(x))


@case((1, 3, 16, 16))
class SuperResolution(M.Module):
    def __init__(self):
        super().__init__()
        self.body = M.Sequential(
            M.Conv2d(3, 16, 5, padding=2), M.PReLU(16), M.Conv2d(16, 12, 3, padding=1), M.PixelShuffle(2)
        )

    def forward(self, x):
        return F.clip(self.body(x) + F.vision.interpolate(x, scale_factor=2, mode="bicubic"), 0.0, 1.0)
