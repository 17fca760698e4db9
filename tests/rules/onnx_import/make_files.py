"""Makes ``files``: common blocks as PyTorch's two exporters write them. Run once with torch 2.13, onnx and onnxscript.

``<block>-script13.onnx`` comes from the older exporter at opset 13, ``<block>-dynamo18.onnx`` and ``-dynamo20.onnx``
from the newer one. Weights are random. Each file is a few kB; paths of the machine are taken out.
"""

# ruff: noqa
# Networks in as few lines as they can be read in: this is a list, not a program.
from pathlib import Path

import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F

CASES = {}


def case(*shapes):
    def reg(f):
        CASES[f.__name__] = (f, shapes)
        return f

    return reg


I = (1, 3, 16, 16)


class Res(nn.Module):
    def __init__(s, c=8, g=1, d=1):
        super().__init__()
        s.a = nn.Conv2d(c, c, 3, padding=d, groups=g, dilation=d, bias=False)
        s.b = nn.BatchNorm2d(c)
        s.c = nn.Conv2d(c, c, 3, padding=1)
        s.d = nn.BatchNorm2d(c)
        for b in (s.b, s.d):
            b.running_mean.normal_()
            b.running_var.uniform_(0.5, 2)
            b.weight.data.uniform_(0.5, 2)
            b.bias.data.normal_()

    def forward(s, x):
        return F.relu(x + s.d(s.c(F.relu(s.b(s.a(x))))))


@case((1, 8, 16, 16))
def residual():
    return Res()


@case((1, 8, 16, 16))
def resnext():
    return Res(g=4)


@case((1, 8, 16, 16))
def dilated():
    return Res(d=2)


@case(I)
def lenet():
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(72, 10),
        nn.Softmax(1),
    )


@case(I)
def mobilenet():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Hardswish(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8),
        nn.ReLU6(),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class SE(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Linear(8, 4)
        s.b = nn.Linear(4, 8)

    def forward(s, x):
        return x * F.hardsigmoid(s.b(F.relu(s.a(x.mean((2, 3))))))[:, :, None, None]


@case((1, 8, 6, 6))
def squeeze_excite():
    return SE()


class Shuffle(nn.Module):
    def __init__(s):
        super().__init__()
        s.c = nn.Conv2d(4, 4, 1)

    def forward(s, x):
        a, b = x.chunk(2, 1)
        x = torch.cat([a, s.c(b)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


@case((1, 8, 6, 6))
def channel_shuffle():
    return Shuffle()


class UNet(nn.Module):
    def __init__(s, up):
        super().__init__()
        s.a = nn.Conv2d(3, 8, 3, padding=1)
        s.b = nn.Conv2d(8, 8, 3, 2, 1)
        s.up = up
        s.c = nn.Conv2d(16, 2, 1)

    def forward(s, x):
        a = F.relu(s.a(x))
        b = s.up(F.relu(s.b(a)))
        return torch.sigmoid(s.c(torch.cat([a, b], 1)))


@case(I)
def unet_deconv():
    return UNet(nn.ConvTranspose2d(8, 8, 2, 2))


@case(I)
def unet_bilinear():
    return UNet(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))


@case(I)
def unet_aligned():
    return UNet(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))


@case(I)
def unet_nearest():
    return UNet(nn.Upsample(scale_factor=2))


@case(I)
def unet_bicubic():
    return UNet(nn.Upsample(scale_factor=2, mode="bicubic"))


@case((1, 6, 16))
def transformer():
    return nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)


class Attn(nn.Module):
    def __init__(s):
        super().__init__()
        s.qkv = nn.Linear(16, 48)
        s.n = nn.LayerNorm(16)
        s.p = nn.Linear(16, 16)

    def forward(s, x):
        q, k, v = s.qkv(s.n(x)).reshape(1, 6, 3, 4, 4).permute(2, 0, 3, 1, 4)
        return x + s.p(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 6, 16))


@case((1, 6, 16))
def attention():
    return Attn()


class ViT(nn.Module):
    def __init__(s):
        super().__init__()
        s.e = nn.Conv2d(3, 16, 4, 4)
        s.c = nn.Parameter(torch.randn(1, 1, 16))
        s.p = nn.Parameter(torch.randn(1, 17, 16))
        s.t = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu", norm_first=True)
        s.h = nn.Linear(16, 4)

    def forward(s, x):
        x = s.e(x).flatten(2).transpose(1, 2)
        x = torch.cat([s.c.expand(x.shape[0], -1, -1), x], 1) + s.p
        return s.h(s.t(x)[:, 0])


@case(I)
def vit():
    return ViT()


class Emb(nn.Module):
    def __init__(s):
        super().__init__()
        s.e = nn.Embedding(20, 8)
        s.l = nn.Linear(8, 4)

    def forward(s, x):
        return s.l(s.e(x)).mean(1)


@case(("i", 1, 5))
def embedding():
    return Emb()


class LSTM(nn.Module):
    def __init__(s, k, **a):
        super().__init__()
        s.r = k(8, 6, batch_first=True, **a)

    def forward(s, x):
        return s.r(x)[0]


@case((1, 5, 8))
def lstm():
    return LSTM(nn.LSTM)


@case((1, 5, 8))
def lstm_both():
    return LSTM(nn.LSTM, bidirectional=True, num_layers=2)


@case((1, 5, 8))
def gru():
    return LSTM(nn.GRU)


@case((1, 5, 8))
def rnn():
    return LSTM(nn.RNN)


@case((1, 8, 6, 6))
def group_norm():
    return nn.GroupNorm(4, 8)


@case((1, 8, 6, 6))
def instance_norm():
    return nn.InstanceNorm2d(8, affine=True)


@case((1, 8, 6, 6))
def pixel_shuffle():
    return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.PixelShuffle(2))


@case((1, 8, 6, 6))
def activations():
    return nn.Sequential(
        nn.GELU(),
        nn.SiLU(),
        nn.LeakyReLU(0.2),
        nn.ELU(),
        nn.PReLU(8),
        nn.Softplus(),
        nn.Mish(),
        nn.Hardsigmoid(),
        nn.SELU(),
        nn.CELU(),
        nn.Softsign(),
        nn.GELU("tanh"),
        nn.LogSigmoid(),
        nn.Hardtanh(-0.5, 0.5),
    )


@case((1, 4, 20))
def conv1d():
    return nn.Sequential(
        nn.Conv1d(4, 8, 3, 2, 1, groups=2),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.ConvTranspose1d(8, 2, 4, 2, 1),
        nn.AvgPool1d(3, ceil_mode=True),
    )


@case((1, 2, 4, 6, 6))
def conv3d():
    return nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.AvgPool3d(2))


@case((1, 3, 7, 9))
def pools():
    return nn.Sequential(
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(2, 2, 1, ceil_mode=False, count_include_pad=False),
        nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(2),
        nn.ZeroPad2d((1, 0, 2, 1)),
    )


class Heads(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Conv2d(3, 8, 3, 2, 1)
        s.b = nn.Conv2d(8, 6, 1)

    def forward(s, x):
        f = s.b(F.silu(s.a(x)))
        n, c, h, w = f.shape
        f = f.view(n, 2, 3, h, w).permute(0, 1, 3, 4, 2)
        return torch.sigmoid(f[..., :2]) * 2 - 0.5, f[..., 2:].exp()


@case(I)
def yolo_head():
    return Heads()


class Misc(nn.Module):
    def forward(s, x):
        y = torch.where(x > 0, x, x * 0.1)
        z = y.clamp(min=-0.5) + torch.roll(y, 1, -1) + y.flip(2)
        return (
            z.sum(1, keepdim=True) / (z.norm(dim=1, keepdim=True) + 1e-3),
            z.argmax(1),
            z.topk(3, dim=-1)[0],
            torch.cumsum(z, 1),
            z.std(dim=1),
            torch.einsum("nchw,ncHw->nhH", z, z),
        )


@case((1, 4, 6, 6))
def misc():
    return Misc()


class Mixer(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.Linear(9, 9)
        s.b = nn.Linear(8, 8)
        s.n = nn.LayerNorm(8)

    def forward(s, x):
        x = x + s.a(s.n(x).transpose(1, 2)).transpose(1, 2)
        return x + s.b(F.gelu(x))


@case((1, 9, 8))
def mixer():
    return Mixer()


class Grid(nn.Module):
    def forward(s, x, g):
        return F.grid_sample(x, g.tanh(), align_corners=False)


@case((1, 3, 6, 6), (1, 4, 4, 2))
def grid_sample():
    return Grid()


class Two(nn.Module):
    def forward(s, a, b):
        return a @ b.transpose(1, 2), a * 2 + b.mean()


@case((1, 4, 8), (1, 4, 8))
def two_inputs():
    return Two()


class Causal(nn.Module):
    def __init__(s):
        super().__init__()
        s.l = nn.Linear(8, 24)

    def forward(s, x):
        q, k, v = s.l(x).chunk(3, -1)
        a = q @ k.transpose(1, 2) / 8**0.5
        m = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
        return a.masked_fill(m, float("-inf")).softmax(-1) @ v


@case((1, 5, 8))
def causal():
    return Causal()


KINDS = {
    "script13": {"dynamo": False, "opset_version": 13},
    "dynamo18": {"dynamo": True, "opset_version": 18, "external_data": False},
    "dynamo20": {"dynamo": True, "opset_version": 20, "external_data": False},
}
FOLDER = Path(__file__).parent / "files"


def strip(path):
    model = onnx.load(path)
    for told in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del told.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    onnx.save(model, path)


def main():
    for number, (name, (make, shapes)) in enumerate(CASES.items()):
        torch.manual_seed(0)
        network = make().eval()
        given = tuple(torch.randint(0, 5, s[1:]) if s[0] == "i" else torch.randn(s) for s in shapes)
        for kind in (
            ("dynamo20",)
            if name == "residual"
            else (("script13", "dynamo18")[number % 2],)
            if name not in NEWER
            else ("dynamo18",)
        ):
            path = FOLDER / f"{name}-{kind}.onnx"
            torch.onnx.export(network, given, path, **KINDS[kind])
            strip(path)


NEWER = (
    "transformer",
    "vit",
    "grid_sample",
    "activations",
    "attention",
)  # the older exporter's opset 13 lacks what they need

if __name__ == "__main__":
    main()
