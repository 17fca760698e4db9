"""Convolutions in all their sizes."""

import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, PAIR, case, conv, parameter


@case(PAIR, c=conv(8, 6))
def plain(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 8, stride=2))
def stride_two(net, x):
    return net.c(x)


@case((1, 8, 7, 9), c=conv(8, 8, stride=2))
def stride_two_odd(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 8, 5, padding=0))
def without_padding(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.Conv2d(8, 6, (1, 5), stride=(1, 2), padding=(0, 2), dilation=(1, 1)))
def oblong(net, x):
    return net.c(x)


@case((1, 8, 9, 12), c=lambda: M.Conv2d(8, 6, 3, padding=(1, 2), dilation=(1, 2)))
def dilation_of_one_axis(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 8, dilation=2, padding=2))
def dilated(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 8, groups=2))
def two_groups(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 16, groups=4, stride=2))
def four_groups(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 8, groups=8))
def depthwise(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 16, groups=8))
def depthwise_twofold(net, x):
    return net.c(x)


@case(IMAGE, c=conv(8, 8, bias=False))
def without_bias(net, x):
    return net.c(x)


@case((1, 8, 6, 10), c=conv(8, 4, padding_mode="reflect"), d=conv(8, 4, padding_mode="replicate"))
def other_padding(net, x):
    return net.c(x) + net.d(x)


@case(IMAGE, w=parameter(4, 8, 3, 3))
def functional(net, x):
    return F.conv2d(x, net.w, stride=(1, 2), padding=1)


@case(PAIR, c=conv(8, 8))
def used_twice(net, x):
    return net.c(F.relu(net.c(x)))


@case((2, 4, 12), c=lambda: M.Conv1d(4, 6, 3, stride=2, padding=1), d=lambda: M.Conv1d(6, 6, 3, padding=2, dilation=2))
def one_axis(net, x):
    return net.d(F.relu(net.c(x)))


@case((1, 2, 5, 6, 7), c=lambda: M.Conv3d(2, 4, 3, padding=1), d=lambda: M.Conv3d(4, 4, (3, 2, 3), stride=2, groups=2))
def three_axes(net, x):
    return net.d(F.relu(net.c(x)))


@case((1, 2, 6, 5, 7), c=lambda: M.Conv3d(2, 3, 3, padding=2, dilation=2))
def three_axes_dilated(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 2, 2))
def transposed_k2s2(net, x):
    return net.c(x)


@case(PAIR, c=lambda: M.ConvTranspose2d(8, 4, 4, 2, 1))
def transposed_k4s2p1(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 3, 2, 1))
def transposed_k3s2p1(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 3, 2, 1, 1))
def transposed_output_padding(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 3, 2, 0, 1))
def transposed_output_padding_alone(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 2, 2, groups=2))
def transposed_groups(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 3, 2, 1, dilation=2))
def transposed_dilated(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvTranspose2d(8, 4, 3, 1, 0))
def transposed_stride_one(net, x):
    return net.c(x)


@case((1, 2, 3, 4, 5), c=lambda: M.ConvTranspose3d(2, 3, 3, 2, 1))
def transposed_three_axes(net, x):
    return net.c(x)


@case(IMAGE, c=lambda: M.ConvRelu2d(8, 4, 3), d=lambda: M.ConvTransposeRelu2d(4, 4, 2, 2))
def fused_relu(net, x):
    return net.d(net.c(x))


@case(
    IMAGE, c=lambda: M.ConvBn2d(8, 8, 3, padding=1, groups=2), d=lambda: M.ConvBnRelu2d(8, 4, 3, padding=1, bias=False)
)
def fused_batch_norm(net, x):
    return net.d(net.c(x))


@case(IMAGE, c=lambda: M.ConvTransposeBnRelu2d(8, 4, 2, 2))
def fused_transposed_batch_norm(net, x):
    return net.c(x)


@case((1, 3, 8, 9))
def sliding_window(net, x):
    return F.nn.sliding_window(x, (3, 2), padding=1, stride=2)
