"""Sums, means, extremes, norms, sorting."""

import megengine.functional as F

from .registry import IMAGE, PAIR, ROWS, SEQUENCE, case, conv


@case(IMAGE, c=conv(8, 8))
def mean_of_image(net, x):
    return F.mean(net.c(x), (2, 3))


@case(IMAGE, c=conv(8, 8))
def mean_of_image_kept(net, x):
    return net.c(x) * F.mean(x, (2, 3), keepdims=True)


@case(IMAGE, c=conv(8, 8))
def mean_of_channels(net, x):
    return F.mean(net.c(x), 1, keepdims=True) * x


@case(IMAGE, c=conv(8, 8))
def mean_of_height(net, x):
    return F.mean(net.c(x), 2)


@case(IMAGE, c=conv(8, 8))
def sum_method(net, x):
    return net.c(x).sum((1, 2))


@case(PAIR, c=conv(8, 8))
def sum_kept(net, x):
    return F.sum(net.c(x), 1, keepdims=True)


@case(IMAGE, c=conv(8, 8))
def maximum_of_channels(net, x):
    return F.max(net.c(x), 1, keepdims=True) - F.min(x, 1, keepdims=True)


@case(SEQUENCE, refused={"caffe": "dimensions"})
def mean_of_all(net, x):
    return F.mean(x)


@case(SEQUENCE, refused={"caffe": "multiplies"})
def product(net, x):
    return F.prod(x, 2)


@case(SEQUENCE)
def variance(net, x):
    return F.var(x, 1) + F.std(x, 1)


@case(SEQUENCE)
def norms(net, x):
    return F.norm(x, axis=2) + F.norm(x, ord=1, axis=2) + F.norm(x, ord=3, axis=2)


@case(PAIR)
def normalized(net, x):
    return F.normalize(x, axis=1)


@case(SEQUENCE)
def logsumexp(net, x):
    return F.logsumexp(x, 1) + F.logsumexp(x, 1, keepdims=True).reshape(2, 8)


@case(ROWS)
def cumulative_sum(net, x):
    return F.cumsum(x, 1) + F.cumsum(x, 0)


@case(PAIR)
def cumulative_sum_of_channels(net, x):
    return F.cumsum(x, 1)


@case(PAIR, refused={"caffe": "arg"})
def argmax(net, x):
    return F.argmax(x, 1)


@case(SEQUENCE, refused={"caffe": "arg"})
def argmin_kept(net, x):
    return F.argmin(x, -1, keepdims=True)


@case(SEQUENCE, refused={"caffe": "arg"})
def argmax_of_all(net, x):
    return F.argmax(x).reshape(1)


@case(ROWS, refused={"caffe": "top"})
def sort(net, x):
    values, positions = F.sort(x)
    return values, positions


@case(ROWS, refused={"caffe": "top"})
def sort_descending(net, x):
    return F.sort(x, descending=True)[0] + F.argsort(x, descending=True).astype("float32")


@case(ROWS, refused={"caffe": "top"})
def top_three(net, x):
    return F.topk(x, 3)


@case((9,), refused={"caffe": "top"})
def smallest_of_a_row(net, x):
    return F.topk(x, 4, descending=False)


@case(ROWS, refused={"caffe": "top"})
def third_largest(net, x):
    return F.topk(x, 3, kth_only=True)[0]
