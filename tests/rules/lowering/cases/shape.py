"""Reshaping, joining, taking apart, repeating and padding."""

import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, PAIR, ROWS, SEQUENCE, case, conv


@case(IMAGE, c=conv(8, 8))
def split_in_two(net, x):
    return F.concat(F.split(net.c(x), 2, 1)[::-1], 1)


@case(IMAGE, c=conv(8, 8))
def split_at_sections(net, x):
    return [F.relu(part) for part in F.split(net.c(x), [2, 5], axis=1)]


@case(ROWS)
def split_unevenly(net, x):
    return F.split(x, 3, axis=0)[1] + 1.0


@case(IMAGE, c=conv(8, 8))
def run_time_shape(net, x):
    return F.reshape(net.c(x), (x.shape[0], x.shape[1] * x.shape[2], -1))


@case(IMAGE, c=conv(8, 8))
def reshape_to_one_row(net, x):
    return F.relu(net.c(x)).reshape(1, 480)


@case(PAIR, c=conv(8, 8))
def reshape_method(net, x):
    return net.c(x).reshape(2, -1) + x.reshape((2, 480))


@case(IMAGE, c=conv(8, 8))
def six_axes(net, x):
    y = F.reshape(net.c(x), (1, 2, 4, 3, 2, 10))
    return F.reshape(F.transpose(y, (0, 2, 1, 4, 3, 5)), (1, 8, 6, 10))


@case(IMAGE, c=conv(8, 8), d=conv(8, 4))
def channel_shuffle(net, x):
    y = F.reshape(net.c(x), (1, 2, 4, 6, 10))
    return net.d(F.reshape(F.transpose(y, (0, 2, 1, 3, 4)), (1, 8, 6, 10)))


@case(IMAGE, c=conv(8, 8))
def to_channels_last(net, x):
    return F.transpose(net.c(x), (0, 2, 3, 1))


@case(PAIR)
def transposes(net, x):
    return F.swapaxes(x, 1, 3).transpose(0, 3, 2, 1) + x


@case(SEQUENCE)
def transpose_of_three(net, x):
    return F.transpose(x, (2, 0, 1))


@case(IMAGE, c=conv(8, 8))
def stack(net, x):
    return F.stack([net.c(x), x], 1)


@case(ROWS)
def squeeze_and_expand(net, x):
    return F.squeeze(F.expand_dims(x, (1, 2)), 1) + F.expand_dims(x, 1)


@case(IMAGE, c=conv(8, 4), f=lambda: M.Linear(240, 5))
def flatten(net, x):
    return net.f(F.flatten(net.c(x), 1))


@case(IMAGE, c=conv(8, 8))
def pads_with_zeros(net, x):
    return F.nn.pad(net.c(x), [(0, 0), (0, 0), (1, 2), (0, 1)])


@case(SEQUENCE, p=lambda: M.Pad(((0, 0), (1, 2), (3, 0)), "constant", 1.5))
def pads_with_value(net, x):
    return net.p(x)


@case((1, 3, 5, 6))
def pads_by_reflection(net, x):
    return F.nn.pad(x, [(0, 0), (0, 0), (2, 1), (1, 2)], mode="reflect")


@case((1, 3, 5, 6))
def pads_by_replication(net, x):
    return F.nn.pad(x, [(0, 0), (0, 0), (2, 1), (1, 2)], mode="replicate")


@case((1, 2, 3, 4, 5))
def pads_five_axes(net, x):
    return F.nn.pad(x, [(0, 0), (0, 0), (1, 1), (0, 2), (2, 0)])


@case(ROWS)
def repeats(net, x):
    return F.repeat(x, 2, axis=1) + F.tile(x, (1, 2))


@case(ROWS)
def repeats_flat(net, x):
    return F.repeat(x, 2).reshape(4, 20)


@case((1, 3, 1))
def broadcast(net, x):
    return F.broadcast_to(x, (2, 3, 4)) * 2.0


@case(SEQUENCE)
def roll(net, x):
    return F.roll(x, (1, -3), (1, 2)) + F.roll(x, 4)


@case(IMAGE, c=conv(8, 8))
def pixel_shuffle(net, x):
    return F.nn.pixel_shuffle(net.c(x), 2)


@case(IMAGE, c=conv(8, 8), m=lambda: M.Concat(), p=lambda: M.PixelShuffle(2))
def modules(net, x):
    return net.p(net.m([net.c(x), x], 1))


@case((4, 5))
def diagonal(net, x):
    return F.expand_dims(F.diag(x) + F.diag(x, 0), 0)


@case((4,))
def diagonal_matrix(net, x):
    return F.diag(x, 1)


@case(PAIR, c=conv(8, 8))
def reshape_between_convolutions(net, x):
    return net.c(F.reshape(F.reshape(x, (2, 8, 60)) * 2.0, (2, 8, 6, 10)))


@case((2, 3, 4, 5, 6))
def concat_of_five_axes(net, x):
    return F.concat([x, x * 2.0], 2)
