"""LSTM, GRU and RNN, unrolled over time: the formats below have no layer that means the same everywhere."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import Unsupported, operator
from ..walk import Walk, shape_of

ACTIVATIONS = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu"}
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@operator("LSTM", "GRU", "RNN")
def recurrent(w: Walk, n: Node) -> Any:
    """All directions; (Y, last h, last c)."""
    _check(w, n)
    x = w.tensor(w.input(0))
    if n.attribute("layout", 0):
        raise Unsupported("layout 1")
    times, batch, _ = shape_of(x)
    weights, state, bias = w.known(1, "W"), w.known(2, "R"), w.known(3, "B")
    assert weights is not None and state is not None
    said = n.attribute("direction", "forward")
    hidden, outputs, ends = n.attribute("hidden_size") or shape_of(state)[-1], [], []
    for number in range(shape_of(weights)[0]):
        cell = {
            "W": w.tensor(np.ascontiguousarray(weights[number]), f"W{number}"),
            "R": w.tensor(np.ascontiguousarray(state[number]), f"R{number}"),
        }
        cell.update(_biases(w, n, bias, number, hidden))
        order = range(times)[::-1] if said == "reverse" or number else range(times)
        given = F.linear(x, cell["W"], cell["of_x"])
        start = [_initial(w, index, number, (batch, hidden)) for index in (5, 6)]
        made, end = _unrolled(n, given, cell, order, start, hidden, number)
        outputs.append(F.expand_dims(F.stack([made[time] for time in range(times)], 0), 1))
        ends.append(end)
    whole = F.concat(outputs, 1) if len(outputs) > 1 else outputs[0]
    last = [F.stack([end[part] for end in ends], 0) for part in range(len(ends[0]))]
    return (whole, *last)


def _check(w: Walk, n: Node) -> None:
    lengths = w.known(4, "the lengths of the sequences")
    if lengths is not None and not np.all(lengths == int(shape_of(w.input(0))[0])):
        raise Unsupported("sequences of unequal length")
    if w.input(7) is not None or n.attribute("clip") or n.attribute("input_forget", 0):
        raise Unsupported("peepholes, clip or input_forget")
    unknown = set(n.attribute("activations", [])) - set(ACTIVATIONS)
    if unknown or n.attribute("activation_alpha") or n.attribute("activation_beta"):
        raise Unsupported(f"the activation {', '.join(sorted(unknown)) or 'with parameters'}")


def _biases(w: Walk, n: Node, bias: Optional[Any], number: int, hidden: int) -> Dict[str, Any]:
    """``of_x`` joins both biases, but for a GRU's new gate with a reset after the product, whose own stands apart."""
    width = GATES[n.operator] * hidden
    both = np.zeros(2 * width, np.float32) if bias is None else bias[number]
    of_x, of_h = both[:width].copy(), both[width:].copy()
    if n.operator == "GRU":
        of_x[: 2 * hidden] += of_h[: 2 * hidden]
        of_h[: 2 * hidden] = 0
    else:
        of_x, of_h = of_x + of_h, of_h * 0
    return {
        "of_x": w.tensor(of_x, f"bias{number}"),
        "of_h": w.tensor(of_h, f"state_bias{number}") if of_h.any() else None,
    }


def _initial(w: Walk, index: int, number: int, shape: Any) -> Any:
    value = w.input(index)
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return None if not value.any() else w.tensor(np.ascontiguousarray(value[number]), f"initial{index}_{number}")
    return value[number]


def _unrolled(n: Node, given: Any, cell: Any, order: Any, start: List[Any], hidden: int, number: int) -> Any:
    names = n.attribute("activations") or DEFAULTS[n.operator] * 2
    count = len(DEFAULTS[n.operator])
    acts = [getattr(F, ACTIVATIONS[name]) for name in names[number * count : (number + 1) * count]]
    step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[n.operator]
    state, made = start, {}
    for time in order:
        state = step(n, given[time], cell, state, acts, hidden)
        made[time] = state[0]
    return made, [each for each in state if each is not None]


def _gates(value: Any, hidden: int, count: int) -> List[Any]:
    return [value[:, at * hidden : (at + 1) * hidden] for at in range(count)]


def _product(h: Any, weight: Any, bias: Any = None) -> Any:
    return F.linear(h, weight, bias)


def _lstm(n: Node, x: Any, cell: Any, state: Any, acts: Any, hidden: int) -> List[Any]:
    """The gates stand in the order input, output, forget, cell."""
    h, c = state
    total = x if h is None else x + _product(h, cell["R"])
    enter, leave, forget, new = _gates(total, hidden, 4)
    memory = acts[0](enter) * acts[1](new)
    memory = memory if c is None else memory + acts[0](forget) * c
    return [acts[0](leave) * acts[2](memory), memory]


def _gru(n: Node, x: Any, cell: Any, state: Any, acts: Any, hidden: int) -> List[Any]:
    """The gates stand in the order update, reset, new."""
    h = state[0]
    if h is None:
        h = F.zeros_like(x[:, :hidden])
    update, reset, new = _gates(x, hidden, 3)
    if n.attribute("linear_before_reset", 0):
        of_h = _gates(_product(h, cell["R"], cell["of_h"]), hidden, 3)
        z, r = acts[0](update + of_h[0]), acts[0](reset + of_h[1])
        candidate = acts[1](new + r * of_h[2])
    else:
        both = _gates(_product(h, cell["R"][: 2 * hidden]), hidden, 2)
        z, r = acts[0](update + both[0]), acts[0](reset + both[1])
        last = _product(r * h, cell["R"][2 * hidden :])
        bias = cell["of_h"]
        candidate = acts[1](new + last if bias is None else new + last + bias[2 * hidden :])
    return [(1.0 - z) * candidate + z * h, None]


def _rnn(n: Node, x: Any, cell: Any, state: Any, acts: Any, hidden: int) -> List[Any]:
    """h = activation(W x + R h + b)."""
    h = state[0]
    return [acts[0](x if h is None else x + _product(h, cell["R"])), None]
