"""Slices and gathers."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of


@operator("Slice")
def cut(w: Walk, n: Node) -> Any:
    """Bounds are attributes before opset 10, inputs since."""
    x = w.tensor(w.input(0))
    starts, ends = w.integers("starts", 1), w.integers("ends", 2)
    assert starts is not None and ends is not None
    axes = w.integers("axes", 3, list(range(len(starts))))
    steps = w.integers("steps", 4, [1] * len(starts))
    assert axes is not None and steps is not None
    cuts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps):
        length = shape_of(x)[axis]
        first, last, step = slice(start, max(end, -length - 1) if step < 0 else end, step).indices(length)
        cuts[axis] = slice(first, last if last >= 0 else None, step)
        if not len(range(first, last, step)):
            raise Unsupported("a result without elements")
    return x[tuple(cuts)]


@operator("Gather")
def gather(w: Walk, n: Node) -> Any:
    """Places along one axis. Known places that follow each other are a slice."""
    value, places = w.input(0), w.input(1)
    axis = n.attribute("axis", 0) % len(shape_of(value))
    length = shape_of(value)[axis]
    x = w.tensor(value)
    before = (slice(None),) * axis
    if isinstance(places, np.ndarray):
        places = np.where(places < 0, places + length, places)
        if places.ndim == 0:
            return x[(*before, int(places))]
        flat = places.reshape(-1)
        steps = set(np.diff(flat).tolist())
        if places.size and places.ndim == 1 and len(steps) < 2 and steps <= {1}:
            return x[(*before, slice(int(flat[0]), int(flat[-1]) + 1))]
        places = places.astype(np.int32)
        if places.ndim == 1:
            return x[(*before, w.tensor(places, "places"))]
        taken = x[(*before, w.tensor(flat.astype(np.int32), "places"))]
        return F.reshape(taken, _around(x, axis, shape_of(places)))
    if not isinstance(value, np.ndarray) or axis or value.ndim != 2:
        places = F.where(places < 0, places.astype("float32") + length, places.astype("float32")).astype("int32")
        shape = shape_of(places)
        taken = x[(*before, F.reshape(places, (-1,)))]
        return F.reshape(taken, _around(x, axis, shape))
    return F.nn.embedding(places, x)


def _around(x: Any, axis: int, shape: Any) -> Any:
    own = list(shape_of(x))
    return (*own[:axis], *shape, *own[axis + 1 :])


@operator("GatherElements")
def gather_elements(w: Walk, n: Node) -> Any:
    """By one flat place for each: the place along the axis, and the element's own along the others."""
    x, places = w.tensor(w.input(0)), w.input(1)
    axis = n.attribute("axis", 0) % x.ndim
    own, shape = shape_of(x), shape_of(places)
    strides = [int(np.prod(own[at + 1 :], dtype=np.int64)) for at in range(len(own))]
    base = np.zeros(shape, np.int64)
    for at in range(len(own)):
        if at != axis:
            base += (np.arange(shape[at]) * strides[at]).reshape([-1 if here == at else 1 for here in range(len(own))])
    if isinstance(places, np.ndarray):
        flat = w.tensor((_from_start(places, own[axis]) * strides[axis] + base).astype(np.int32).reshape(-1), "places")
    else:
        given = places + (places < 0).astype("int32") * own[axis]
        flat = F.reshape(given * strides[axis] + w.tensor(base.astype(np.int32), "base"), (-1,))
    return F.reshape(F.reshape(x, (-1,))[flat], shape)


def _from_start(places: Any, length: int) -> Any:
    return np.where(places < 0, places + length, places).astype(np.int64)


@operator("GatherND")
def gather_places(w: Walk, n: Node) -> Any:
    """By one flat place for each, for places that are known."""
    x, places = w.tensor(w.input(0)), w.known(1, "the places")
    batch = n.attribute("batch_dims", 0)
    assert places is not None
    shape = list(shape_of(x))
    depth = shape_of(places)[-1]
    where = np.moveaxis(places, -1, 0).reshape(depth, *shape_of(places)[:-1])
    where = [np.where(part < 0, part + shape[batch + at], part) for at, part in enumerate(where)]
    own = [np.arange(shape[at]).reshape([-1 if at == b else 1 for b in range(places.ndim - 1)]) for at in range(batch)]
    axes = np.broadcast_arrays(*own, *where)
    lead = shape[: batch + depth]
    flat = np.ravel_multi_index(tuple(axes), tuple(lead)).astype(np.int32)
    rest = shape[batch + depth :]
    rows = F.reshape(x, (int(np.prod(lead, dtype=np.int64)), *rest))
    return F.reshape(rows[w.tensor(flat.reshape(-1), "places")], (*shape_of(flat), *rest))


@operator("OneHot")
def one_hot(w: Walk, n: Node) -> Any:
    """Places from the end count from there; places outside give a row of the value for off."""
    places, depth, values = w.tensor(w.input(0), "places"), w.known(1, "the depth"), w.known(2, "the values")
    assert depth is not None and values is not None
    count = int(np.reshape(depth, ()))
    axis = n.attribute("axis", -1) % (places.ndim + 1)
    shape = list(shape_of(places))
    shape.insert(axis, 1)
    steps = np.arange(count).reshape([-1 if at == axis else 1 for at in range(len(shape))])
    numbers = w.tensor(steps.astype(np.int32), "steps")
    given = F.reshape(places.astype("int32"), tuple(shape))
    given = given + (given < 0).astype("int32") * count
    hit = F.equal(F.broadcast_to(given, np.broadcast_shapes(tuple(shape), shape_of(steps))), numbers).astype("float32")
    off, on = float(values[0]), float(values[1])
    y = hit if (off, on) == (0.0, 1.0) else hit * (on - off) + off
    return y if values.dtype.kind == "f" else y.astype("int32")


@operator("ScatterElements", "Scatter")
def scatter_elements(w: Walk, n: Node) -> Any:
    """For places that are known."""
    places = w.known(1, "the places")
    assert places is not None
    own = shape_of(w.input(0))
    axis = n.attribute("axis", 0) % len(own)
    where = list(np.indices(places.shape))
    where[axis] = _from_start(places, own[axis])
    return _scattered(w, n, np.ravel_multi_index(tuple(where), own).reshape(-1), own, ())


@operator("ScatterND")
def scatter_places(w: Walk, n: Node) -> Any:
    """For places that are known."""
    places = w.known(1, "the places")
    assert places is not None
    own, depth = shape_of(w.input(0)), places.shape[-1]
    where = [_from_start(places[..., at], own[at]) for at in range(depth)]
    return _scattered(w, n, np.ravel_multi_index(tuple(where), own[:depth]).reshape(-1), own[:depth], own[depth:])


def _scattered(w: Walk, n: Node, flat: Any, lead: Any, rest: Any) -> Any:
    """Each row is the tensor's, or the last update of it: a gather from both, one behind the other."""
    if n.attribute("reduction", "none") != "none":
        raise Unsupported(f"the reduction {n.attribute('reduction')}")
    x, updates = w.tensor(w.input(0)), w.tensor(w.input(2), "updates")
    count = int(np.prod(lead, dtype=np.int64))
    taken = np.arange(count)
    taken[flat] = count + np.arange(len(flat))
    rows = F.concat([F.reshape(x, (count, *rest)), F.reshape(updates, (len(flat), *rest))], 0)
    return F.reshape(rows[w.tensor(taken.astype(np.int32), "taken")], (*lead, *rest))
