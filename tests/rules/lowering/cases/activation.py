"""Activation functions and the softmax family."""

import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, ROWS, SEQUENCE, case, conv


@case(IMAGE, c=conv(8, 8))
def relu_family(net, x):
    return F.relu(net.c(x)) + F.relu6(x * 9.0)


@case(IMAGE, c=conv(8, 8))
def tanh_after_convolution(net, x):
    return F.tanh(net.c(x))


@case(IMAGE, c=conv(8, 8))
def sigmoid(net, x):
    return F.sigmoid(net.c(x))


@case(IMAGE, c=conv(8, 8), a=lambda: M.LeakyReLU(0.1))
def leaky_relu(net, x):
    return net.a(net.c(x)) + F.leaky_relu(x, 0.3)


@case(IMAGE, c=conv(8, 8), a=lambda: M.PReLU(8), b=lambda: M.PReLU(1))
def prelu(net, x):
    return net.a(net.c(x)) + net.b(x)


@case(IMAGE, c=conv(8, 8), g=lambda: M.GELU())
def gelu(net, x):
    return net.g(net.c(x) * 4.0)


@case(IMAGE, s=lambda: M.SiLU())
def silu(net, x):
    return net.s(x) + F.silu(x * 2.0)


@case(IMAGE, c=conv(8, 8))
def hard_swish(net, x):
    return F.hswish(net.c(x) * 6.0) + F.hsigmoid(x * 6.0)


@case(ROWS)
def soft_functions(net, x):
    return F.softplus(x * 4.0) + F.logsigmoid(x * 4.0)


@case(IMAGE, c=conv(8, 8))
def softmax_of_channels(net, x):
    return F.softmax(net.c(x), 1)


@case(SEQUENCE)
def softmax_of_last_axis(net, x):
    return F.softmax(x, -1)


@case(IMAGE)
def softmax_of_width(net, x):
    return F.softmax(x, 3)


@case((2, 3, 4, 5, 6))
def softmax_of_five_axes(net, x):
    return F.softmax(x, -1)


@case(SEQUENCE)
def softmax_default_axis(net, x):
    return F.softmax(x)


@case(ROWS, s=lambda: M.Softmax(axis=1), r=lambda: M.ReLU(), g=lambda: M.Sigmoid())
def modules(net, x):
    return net.s(net.r(x) + net.g(x))


@case(ROWS)
def logsoftmax(net, x):
    return F.logsoftmax(x, 1)


@case(IMAGE, c=conv(8, 8))
def relu_shared(net, x):
    y = net.c(x)
    return F.relu(y) + y


@case(IMAGE, c=conv(8, 8))
def relu_after_reshape(net, x):
    return F.relu(F.reshape(net.c(x), (1, 8, 60)))
