"""Normalisations."""

import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, PAIR, ROWS, SEQUENCE, case, conv


@case(IMAGE, c=conv(8, 8), b=lambda: M.BatchNorm2d(8, eps=1e-1))
def batch_folded(net, x):
    return net.b(net.c(x))


@case(IMAGE, b=lambda: M.BatchNorm2d(8, eps=1e-1))
def batch_alone(net, x):
    return net.b(F.relu(x))


@case(IMAGE, c=conv(8, 8), b=lambda: M.BatchNorm2d(8, eps=1e-1), d=conv(8, 4))
def batch_in_the_middle(net, x):
    return net.d(F.relu(net.b(net.c(x))))


@case(IMAGE, c=conv(8, 8), b=lambda: M.BatchNorm2d(8))
def batch_of_shared(net, x):
    y = net.c(x)
    return net.b(y) + y


@case(IMAGE, c=conv(8, 8), b=lambda: M.BatchNorm2d(8, affine=False))
def batch_without_weight(net, x):
    return net.b(net.c(x))


@case(ROWS, f=lambda: M.Linear(8, 6), b=lambda: M.BatchNorm1d(6))
def batch_of_rows(net, x):
    return net.b(net.f(x))


@case(ROWS, f=lambda: M.LinearBn1d(8, 6), g=lambda: M.LinearBnRelu1d(6, 6))
def batch_fused_to_linear(net, x):
    return net.g(net.f(x))


@case(SEQUENCE, n=lambda: M.LayerNorm(8))
def layer(net, x):
    return net.n(x)


@case(PAIR, n=lambda: M.LayerNorm((6, 10), eps=1e-2))
def layer_of_two_axes(net, x):
    return net.n(x)


@case(SEQUENCE, n=lambda: M.LayerNorm(8, affine=False))
def layer_without_weight(net, x):
    return net.n(x)


@case(IMAGE, c=conv(8, 8), n=lambda: M.GroupNorm(4, 8))
def group(net, x):
    return net.n(net.c(x))


@case(IMAGE, c=conv(8, 8), n=lambda: M.InstanceNorm(8))
def instance(net, x):
    return net.n(net.c(x))


@case((2, 3, 4, 5), n=lambda: M.GeneralNorm((4, 5), normalized_axis=(2, 3)))
def general(net, x):
    return net.n(x)


@case(IMAGE, n=lambda: M.LocalResponseNorm(5, 1.0, 0.1, 0.75))
def local_response(net, x):
    return net.n(x)
