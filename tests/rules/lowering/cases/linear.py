"""Linear layers and matrix products."""

import megengine.functional as F
import megengine.module as M

from .registry import ROWS, SEQUENCE, case, parameter


@case(ROWS, f=lambda: M.Linear(8, 6), g=lambda: M.Linear(6, 3, bias=False), h=lambda: M.LinearRelu(3, 3))
def plain(net, x):
    return net.h(net.g(net.f(x)))


@case(SEQUENCE, f=lambda: M.Linear(8, 6))
def of_three_axes(net, x):
    return net.f(x)


@case((2, 3, 4, 8), f=lambda: M.Linear(8, 6))
def of_four_axes(net, x):
    return net.f(x)


@case(ROWS, w=parameter(8, 4))
def product_with_parameter(net, x):
    return F.matmul(x, net.w) + x @ net.w


@case(ROWS, w=parameter(4, 8))
def product_with_turned_parameter(net, x):
    return F.matmul(x, net.w, transpose_b=True)


@case((3, 8, 5), w=parameter(4, 8))
def parameter_first(net, x):
    return F.matmul(net.w, x)


@case(ROWS, w=parameter(8), refused={"caffe": "one dimension"})
def product_with_vector(net, x):
    return F.matmul(x, net.w)


@case(SEQUENCE, refused={"caffe": "product of two activations"})
def product_of_three_axes(net, x):
    return F.matmul(x, x, transpose_b=True)


@case((2, 3, 4, 5), (2, 3, 5, 6), refused={"caffe": "product of two activations"})
def product_of_four_axes(net, x, y):
    return F.matmul(x, y)


@case((5, 4), (5, 6), refused={"caffe": "product of two activations"})
def first_turned(net, x, y):
    return F.matmul(x, y, transpose_a=True)


@case(ROWS, (6, 8), refused={"caffe": "product of two activations"})
def computed_weight(net, x, w):
    return F.linear(x, w)


@case((7,), (7,), refused={"caffe": "dimensions"})
def dot(net, x, y):
    return F.dot(x, y)
