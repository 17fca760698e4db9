"""Arithmetic, comparisons, logic and casts."""

import megengine.functional as F
import megengine.module as M

from .registry import IMAGE, PAIR, ROWS, SEQUENCE, Whole, case, conv, parameter


@case(IMAGE, c=conv(8, 8), b=parameter(8, 1, 1))
def adds_channel_bias(net, x):
    return net.c(x) + net.b


@case(IMAGE, c=conv(8, 8))
def reversed_operators(net, x):
    return 2.0 - (1.0 / (net.c(x) ** 2 + 1.0))


@case((2, 1, 6, 1), (1, 8, 6, 10))
def broadcasts_two_inputs(net, x, y):
    return x * y - F.maximum(x, y) + F.minimum(x, y)


@case((8,), (2, 5, 8))
def broadcasts_ranks(net, x, y):
    return x + y


@case((2, 3, 1, 4, 5), (2, 3, 6, 4, 1))
def broadcasts_five_axes(net, x, y):
    return x * y


@case(IMAGE, c=conv(8, 8))
def larger_of_two(net, x):
    return F.maximum(net.c(x), x)


@case(PAIR)
def square_and_self(net, x):
    return x * x + (x + x) - F.square(x) / 3.0


@case(IMAGE, c=conv(8, 8))
def in_place(net, x):
    y = net.c(x)
    y += x
    y *= 0.5
    y -= 0.25
    return F.relu(y)


@case(IMAGE, c=conv(8, 8))
def limits_by_constants(net, x):
    return F.minimum(F.maximum(net.c(x), -0.1), 0.2)


@case(IMAGE, c=conv(8, 8))
def clip(net, x):
    return F.clip(net.c(x), -0.1, 0.2) + F.clip(x, lower=0.1) + F.clip(x, upper=0.3)


@case((3, 5))
def roots_and_logarithms(net, x):
    return F.sqrt(F.exp(x) + 1.0) / 2.0 + F.log(F.abs(x) + 1.0) + F.log1p(F.abs(x)) + F.expm1(x)


@case(IMAGE)
def power_of_constant(net, x):
    return 2.0**x + (F.abs(x) + 0.1) ** 1.7


@case((3, 4), (3, 4), refused={"caffe": "power"})
def power_computed(net, x, y):
    return (F.abs(x) + 0.5) ** y


@case(ROWS, refused={"caffe": "sin"})
def sine_and_cosine(net, x):
    return F.sin(x) * F.cos(x) + F.tan(x / 8.0)


@case(ROWS)
def hyperbolic(net, x):
    return F.sinh(x) + F.cosh(x) + F.tanh(x) + F.logaddexp(x, 0.5 * x)


@case(ROWS, refused={"caffe": "floor"})
def floor(net, x):
    return F.floor(x * 3.0)


@case(IMAGE, refused={"caffe": "ceil"})
def ceil(net, x):
    return F.ceil(x * 3.0)


@case(ROWS, refused={"caffe": "floor"})
def rounds(net, x):
    return F.round(x * 3.0)


@case(Whole((1, 9), 5, "float32", low=-4), refused={"caffe": "floor"})
def rounds_halves_away_from_zero(net, x):
    return F.round(x * 0.5)


@case(ROWS, refused={"caffe": "floor"})
def floor_division_and_remainder(net, x):
    return F.floor_div(x, 0.3) + F.mod(x, 0.7) + x // 0.25


@case(ROWS)
def sign(net, x):
    return F.sign(x) * 2.0 + x


@case(IMAGE, c=conv(8, 8))
def where(net, x):
    return F.where(net.c(x) > 0.1, x, x * 0.25)


@case(PAIR, PAIR)
def comparisons_as_floats(net, x, y):
    gates = [x > y, x >= y, x < y, x <= y, F.equal(x, y), F.not_equal(x, y)]
    return sum((gate.astype("float32") * (place + 1.0) for place, gate in enumerate(gates)), x * 0.0)


@case(PAIR)
def logic(net, x):
    inside = F.logical_and(x > -0.5, x < 0.5)
    return F.where(F.logical_or(inside, F.logical_not(x > -1.0)), x, F.zeros_like(x))


@case(PAIR, refused={"caffe": "bool"})
def boolean_result(net, x):
    return x > 0.2


@case(PAIR)
def mask_times_value(net, x):
    return x * (x > 0)


@case(Whole((1, 3, 6, 8), 256, "uint8"), c=conv(3, 4), refused={"caffe": "float32"})
def uint8_image(net, x):
    return net.c(x.astype("float32") / 255.0)


@case(Whole((2, 6), 50), refused={"caffe": "float32"})
def whole_number_arithmetic(net, x):
    return (x + 3) * 2 - x


@case(Whole((2, 6), 50), refused={"caffe": "float32"})
def whole_to_float_and_back(net, x):
    return (x.astype("float32") * 1.0).astype("int32") + 1


@case(PAIR, refused={"caffe": "int32"})
def float_to_whole(net, x):
    return (x * 10.0).astype("int32")


@case(
    IMAGE, IMAGE, e=lambda: M.Elemwise("ADD"), f=lambda: M.Elemwise("FUSE_ADD_RELU"), g=lambda: M.Elemwise("TRUE_DIV")
)
def elemwise_modules(net, x, y):
    return net.g(net.f(x, y), net.e(F.abs(x), F.abs(y)) + 1.0)


@case(SEQUENCE)
def constant_folding(net, x):
    shape = x.shape
    ramp = F.arange(8).reshape(1, 1, 8) / shape[2]
    return x + ramp * F.ones((1, 5, 1)) + F.full((1,), 3.0) - F.zeros_like(x)
