"""Resize and Upsample: exact, along each axis by a matrix of weights where MegEngine's own differs."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of


@operator("Upsample")
def upsample(w: Walk, n: Node) -> Any:
    """Before opset 10: factors are attributes (7) or an input (9); places by the corner's rule of that time."""
    x = w.tensor(w.input(0))
    factors = n.attribute("scales") or np.reshape(w.known(1, "the factors"), -1).tolist()
    mode = n.attribute("mode", "nearest")
    outs = [int(np.floor(int(length) * factor)) for length, factor in zip(shape_of(x), factors)]
    return _resized(w, x, outs, list(factors), mode, "asymmetric", "floor", n)


@operator("Resize")
def resize(w: Walk, n: Node) -> Any:
    """To factors or lengths; opset 10 places as Upsample does."""
    x = w.tensor(w.input(0))
    old = n.opset < 11
    factors, lengths = w.known(1 if old else 2, "the factors"), None if old else w.known(3, "the lengths")
    axes = [axis % x.ndim for axis in n.attribute("axes", list(range(x.ndim)))]
    own = list(shape_of(x))
    if n.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("the policy of the aspect ratio")
    outs, scale = list(own), [1.0] * x.ndim
    if lengths is not None and lengths.size:
        for axis, length in zip(axes, np.reshape(lengths, -1)):
            outs[axis], scale[axis] = int(length), int(length) / own[axis]
    else:
        assert factors is not None
        for axis, factor in zip(axes, np.reshape(factors, -1)):
            outs[axis], scale[axis] = int(np.floor(own[axis] * float(factor))), float(factor)
    mode = n.attribute("mode", "nearest")
    place = "asymmetric" if old else n.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else n.attribute("nearest_mode", "round_prefer_floor")
    return _resized(w, x, outs, scale, mode, place, rounding, n)


def _resized(
    w: Walk, x: Any, outs: List[int], scale: List[float], mode: str, place: str, rounding: str, n: Node
) -> Any:
    own = list(shape_of(x))
    changed = [axis for axis in range(x.ndim) if outs[axis] != own[axis] or scale[axis] != 1.0]
    if n.attribute("antialias", 0) or place == "tf_crop_and_resize":
        raise Unsupported("antialiasing" if n.attribute("antialias", 0) else "tf_crop_and_resize")
    if (
        mode == "linear"
        and x.ndim == 4
        and set(changed) <= {2, 3}
        and place in ("half_pixel", "pytorch_half_pixel", "align_corners")
    ):
        exact = all(abs(out / length - factor) < 1e-6 for out, length, factor in zip(outs, own, scale))
        if exact and all(out > 1 for out in outs[2:]):
            return F.vision.interpolate(
                x, size=tuple(outs[2:]), mode="bilinear", align_corners=place == "align_corners"
            )
    for axis in changed:
        length, out = own[axis], outs[axis]
        at = _places(length, out, scale[axis], place)
        if mode == "nearest":
            x = _nearest(w, x, axis, _rounded(at, rounding, length))
        else:
            x = _weighted(w, x, axis, _weights(at, length, mode, n))
    return x if changed else F.copy(x)


def _places(length: int, out: int, factor: float, how: str) -> Any:
    """Where each element of the result lies between those of the tensor."""
    steps = np.arange(out, dtype=np.float64)
    if how == "asymmetric":
        return steps / factor
    if how == "align_corners":
        return steps * (length - 1) / (out - 1) if out > 1 else steps * 0
    if how == "pytorch_half_pixel" and out == 1:
        return steps * 0
    if how == "half_pixel_symmetric":
        centre = length / 2 * (1 - out / (factor * length))
        return centre + (steps + 0.5) / factor - 0.5
    if how not in ("half_pixel", "pytorch_half_pixel"):
        raise Unsupported(f"the places by {how}")
    return (steps + 0.5) / factor - 0.5


def _rounded(at: Any, how: str, length: int) -> Any:
    at = np.round(at, 9)
    rules = {
        "floor": np.floor, "ceil": np.ceil,
        "round_prefer_floor": lambda v: np.ceil(v - 0.5), "round_prefer_ceil": lambda v: np.floor(v + 0.5),
    }  # fmt: skip
    return np.clip(rules[how](at).astype(np.int64), 0, length - 1)


def _nearest(w: Walk, x: Any, axis: int, places: Any) -> Any:
    length, out = shape_of(x)[axis], len(places)
    if out % length == 0 and np.array_equal(places, np.repeat(np.arange(length), out // length)):
        if x.ndim == 4 and axis in (2, 3):
            size = [shape_of(x)[2], shape_of(x)[3]]
            size[axis - 2] = out
            return F.vision.interpolate(x, size=tuple(size), mode="nearest")
        return F.repeat(x, out // length, axis)
    return x[(*[slice(None)] * axis, w.tensor(places.astype(np.int32), f"places{axis}"))]


def _weights(at: Any, length: int, mode: str, n: Node) -> Any:
    """(out, length): what each element of the tensor adds to each of the result."""
    if mode not in ("linear", "cubic"):
        raise Unsupported(f"the mode {mode}")
    matrix = np.zeros((len(at), length))
    outside = bool(n.attribute("exclude_outside", 0))
    for row, place in enumerate(at):
        base = int(np.floor(place))
        for index, weight in _taps(place - base, mode, n.attribute("cubic_coeff_a", -0.75)):
            if 0 <= base + index < length or not outside:
                matrix[row, min(max(base + index, 0), length - 1)] += weight
        if outside:
            matrix[row] /= matrix[row].sum()
    return matrix


def _taps(ratio: float, mode: str, a: float) -> List[Tuple[int, float]]:
    if mode == "linear":
        return [(0, 1 - ratio), (1, ratio)]
    near = lambda t: ((a + 2) * t - (a + 3)) * t * t + 1  # noqa: E731  # Keys' two pieces
    far = lambda t: ((a * t - 5 * a) * t + 8 * a) * t - 4 * a  # noqa: E731
    return [(-1, far(1 + ratio)), (0, near(ratio)), (1, near(1 - ratio)), (2, far(2 - ratio))]


def _weighted(w: Walk, x: Any, axis: int, matrix: Any) -> Any:
    order: Optional[List[int]] = None
    if axis != x.ndim - 1:
        order = list(range(x.ndim))
        order[axis], order[-1] = order[-1], order[axis]
        x = F.transpose(x, order)
    y = F.linear(x, w.tensor(matrix.astype(np.float32), f"weights{axis}"))
    return y if order is None else F.transpose(y, order)
