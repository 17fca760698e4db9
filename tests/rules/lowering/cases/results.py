"""Inputs and results of unusual kinds."""

import megengine as mge
import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, PAIR, case, conv


@case(PAIR, PAIR, c=conv(8, 8))
def two_inputs(net, x, y):
    return net.c(x) * F.sigmoid(y)


@case(IMAGE, c=conv(8, 8))
def returns_input(net, x):
    return x, net.c(x)


@case(IMAGE, c=conv(8, 8))
def same_result_twice(net, x):
    y = net.c(x)
    return y, y


@case(IMAGE, c=conv(8, 8))
def result_that_is_read(net, x):
    y = net.c(x)
    return y, F.relu(y)


@case(IMAGE, c=conv(8, 8))
def named_results(net, x):
    y = net.c(x)
    return {"score": F.sigmoid(y), "box": F.exp(y), "area": F.mean(y, (2, 3))}


@case(IMAGE, c=conv(8, 8))
def nested_results(net, x):
    y = net.c(x)
    return {"levels": [F.relu(y), (F.tanh(y), y * 2.0)], "all": F.sum(y, 1)}


@case(IMAGE, q=lambda: M.QuantStub(), c=conv(8, 8), d=lambda: M.DequantStub())
def quantisation_stubs(net, x):
    return net.d(net.c(net.q(x)))


@case(IMAGE, c=conv(8, 8), d=lambda: M.Dropout(0.3), i=lambda: M.Identity())
def dropout_left_in(net, x):
    return net.i(net.d(net.c(x))) + F.dropout(x, 0.5, training=False).detach()


@case(IMAGE, b=lambda: M.Sequential(M.Conv2d(8, 4, 1), M.Sequential(M.ReLU(), M.Dropout(0.1))))
def identity_at_the_end(net, x):
    return net.b(x)


@case(IMAGE)
def constant_result(net, x):
    return x + 1.0, F.arange(4).reshape(2, 2)


@case(PAIR, refused={"onnx": "svd", "tflite": "svd", "caffe": "svd"})
def several_unsupported(net, x):
    u, s, _ = F.svd(x)
    return F.matinv(F.matmul(u, u, transpose_b=True)) + s.sum()


@case(PAIR, refused={"onnx": "random", "tflite": "random", "caffe": "random"})
def random_numbers(net, x):
    return F.relu(x) * 1.0 + 0.0 * mge.random.normal(0.0, 1.0, (2, 8, 6, 10))
