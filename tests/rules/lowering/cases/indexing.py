"""Slices, indices, embeddings."""

import megengine.functional as F
import megengine.module as M
import numpy as np

from .registry import IMAGE, PAIR, ROWS, SEQUENCE, Whole, case, conv, parameter


@case(IMAGE, c=conv(16, 8))
def focus(net, x):
    return net.c(F.concat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1))


@case(IMAGE, c=conv(8, 8))
def integer(net, x):
    return net.c(x)[:, 0]


@case(IMAGE, c=conv(8, 8))
def negative_integer(net, x):
    return net.c(x)[:, -1]


@case((4, 8), f=lambda: M.Linear(8, 3))
def open_slice(net, x):
    return net.f(x[1:])


@case(IMAGE, c=conv(8, 8))
def step(net, x):
    return net.c(x)[:, ::2]


@case(IMAGE)
def negative_ends(net, x):
    return x[:, -3:-1, :, 2:-2]


@case(ROWS)
def backwards(net, x):
    return x[:, ::-1] + x[::-1]


@case((2, 3, 4, 5, 6))
def slice_of_five_axes(net, x):
    return x[:, 1:, ::2, -1, 2:5]


@case(ROWS)
def new_axis(net, x):
    return x[:, None] * 2.0 + F.expand_dims(x, 1)


@case(SEQUENCE)
def list_of_channels(net, x):
    return x[:, [0, 2, 3]]


@case(IMAGE)
def list_of_columns(net, x):
    return x[..., np.array([9, 0, 3, 3])]


@case(SEQUENCE, Whole((3,), 5), refused={"caffe": "float32"})
def computed_indices(net, x, i):
    return x[:, i]


@case(SEQUENCE, Whole((3,), 2), Whole((3,), 5), refused={"caffe": "float32"})
def two_arrays_of_indices(net, x, i, j):
    return x[i, j]


@case((4, 5, 6), Whole((3,), 4), Whole((3,), 6), refused={"caffe": "float32"})
def separated_arrays_of_indices(net, x, i, j):
    return x[i, :, j]


@case(SEQUENCE, refused={"onnx": "booleans", "tflite": "booleans", "caffe": "booleans"})
def mask(net, x):
    return x[x > 0]


@case(PAIR, c=conv(8, 8))
def assignment(net, x):
    y = net.c(x)
    y[:, 2:4] = 0.5
    y[:, 0, 1:3] = x[:, 1, 1:3]
    return y


@case((4, 6), Whole((4, 3), 6), refused={"caffe": "float32"})
def gather_columns(net, x, i):
    return F.gather(x, 1, i)


@case((4, 3), Whole((2, 3), 4), refused={"caffe": "float32"})
def gather_rows(net, x, i):
    return F.gather(x, 0, i)


@case((4, 6), Whole((4,), 6), refused={"caffe": "float32"})
def indexing_one_hot(net, x, i):
    return F.nn.indexing_one_hot(x, i, 1)


@case(Whole((2, 7), 20), e=lambda: M.Embedding(20, 6), f=lambda: M.Linear(6, 3), refused={"caffe": "float32"})
def embedding(net, i):
    return net.f(net.e(i))


@case(Whole((2, 7), 20), w=parameter(20, 6), refused={"caffe": "float32"})
def functional_embedding(net, i):
    return F.nn.embedding(i, net.w)


@case(Whole((5,), 4), refused={"caffe": "float32"})
def one_hot(net, i):
    return F.one_hot(i, 4)
