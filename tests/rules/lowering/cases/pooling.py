"""Pooling and resizing."""

import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, PAIR, case, conv


@case(IMAGE, c=conv(8, 8))
def max_padded(net, x):
    return F.max_pool2d(net.c(x) - 3.0, 3, 2, 1)


@case((2, 8, 7, 9), p=lambda: M.MaxPool2d(2, 2))
def max_odd(net, x):
    return net.p(x)


@case(IMAGE, c=conv(8, 8))
def mean_padded(net, x):
    return F.avg_pool2d(net.c(x), 3, 2, 1)


@case(IMAGE, p=lambda: M.AvgPool2d(3, 1, 1))
def mean_padded_same(net, x):
    return net.p(x)


@case(IMAGE, c=conv(8, 8))
def mean_counting_padding(net, x):
    return F.avg_pool2d(net.c(x), 3, 2, 1, "average")


@case((1, 4, 8, 8), p=lambda: M.AvgPool2d(8))
def mean_of_all(net, x):
    return net.p(x)


@case(IMAGE, p=lambda: M.MaxPool2d((3, 2), (2, 1), (1, 0)))
def max_oblong(net, x):
    return net.p(x)


@case(PAIR)
def adaptive_to_one(net, x):
    return F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, 1)


@case(IMAGE)
def adaptive_divisible(net, x):
    return F.adaptive_avg_pool2d(x, (2, 5)) + F.adaptive_max_pool2d(x, (2, 5))


@case((2, 4, 7, 10), p=lambda: M.AdaptiveAvgPool2d((3, 4)))
def adaptive_mean_indivisible(net, x):
    return net.p(x)


@case((2, 4, 7, 10), p=lambda: M.AdaptiveMaxPool2d((3, 4)))
def adaptive_max_indivisible(net, x):
    return net.p(x)


@case(IMAGE, c=conv(8, 8))
def bilinear_to_size(net, x):
    return F.vision.interpolate(net.c(x), size=(9, 17), mode="bilinear")


@case(IMAGE, c=conv(8, 8))
def bilinear_by_factor(net, x):
    return F.vision.interpolate(net.c(x), scale_factor=2, mode="bilinear")


@case(IMAGE)
def bilinear_smaller(net, x):
    return F.vision.interpolate(x, scale_factor=0.5, mode="bilinear")


@case(IMAGE)
def bilinear_aligned(net, x):
    return F.vision.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


@case(IMAGE)
def nearest(net, x):
    return F.vision.interpolate(x, scale_factor=2, mode="nearest")


@case(IMAGE)
def nearest_to_size(net, x):
    return F.vision.interpolate(x, size=(9, 7), mode="nearest")


@case(IMAGE)
def bicubic(net, x):
    return F.vision.interpolate(x, size=(12, 15), mode="bicubic")


@case((2, 4, 10))
def linear(net, x):
    return F.vision.interpolate(x, scale_factor=2, mode="linear")
