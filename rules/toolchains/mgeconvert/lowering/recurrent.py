"""Recurrent layers, unrolled over time: no format's own layer means the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import megengine.module as M
import numpy as np

from .primitives import Primitives
from .table import module
from .values import Array, Unsupported, Value, array_of, constant

State = Tuple[Value, ...]
"""(h,), or (h, c) of an LSTM; each (batch, hidden)."""


@dataclass(frozen=True)
class Cell:
    """The weights of one layer in one direction, with the two biases as one."""

    of_input: Array
    of_state: Array
    bias: Optional[Array]


def _rnn_step(p: Primitives, given: Value, cell: Cell, state: Optional[State], activation: str) -> State:
    """``megengine.module.RNNCell``: h = activation(W x + b + U h)."""
    if state is not None:
        given = p.add(given, p.linear(state[0], cell.of_state, None))
    return (p.unary(activation, given),)


def _lstm_step(p: Primitives, given: Value, cell: Cell, state: Optional[State], activation: str) -> State:
    """``megengine.module.LSTMCell``: the gates stand in the order input, forget, cell, output."""
    if state is not None:
        given = p.add(given, p.linear(state[0], cell.of_state, None))
    size = given.shape[1] // 4
    parts = p.split(given, [0, size, 2 * size, 3 * size, 4 * size], 1)
    enter, forget, leave = (p.unary("sigmoid", parts[gate]) for gate in (0, 1, 3))
    memory = p.mul(enter, p.unary("tanh", parts[2]))
    if state is not None:
        memory = p.add(p.mul(forget, state[1]), memory)
    return p.mul(leave, p.unary("tanh", memory)), memory


def _cells(own: Any, gates: int) -> List[Cell]:
    """The cells of all layers and directions out of the flat weights: all W and U, then all biases, cell by cell."""
    flat, hidden, at = array_of(own._flatten_weights).reshape(-1), own.hidden_size, 0
    cells = []
    for layer in range(own.num_layers):
        for _ in range(own.num_directions):
            width = own.input_size if layer == 0 else hidden * own.num_directions
            shapes = [(gates * hidden, width), (gates * hidden, hidden)] + [(gates * hidden,)] * (2 if own.bias else 0)
            arrays = []
            for shape in shapes:
                count = int(np.prod(shape))
                arrays.append(flat[at : at + count].reshape(shape))
                at += count
            cells.append(Cell(arrays[0], arrays[1], arrays[2] + arrays[3] if own.bias else None))
    return cells


def _unrolled(
    p: Primitives, own: Any, x: Value, initial: Optional[Sequence[Value]], gates: int
) -> Tuple[Value, List[State]]:
    """The outputs, (time, batch, features) or as ``batch_first`` says, and the last state of each cell."""
    if own.training and own.dropout:
        raise Unsupported("a recurrent layer in training mode", "call eval() before tracing")
    step, activation = (_lstm_step, "") if gates == 4 else (_rnn_step, own.nonlinearity)
    if own.batch_first:
        x = p.transpose(x, (1, 0, 2))
    times, batch, _ = x.shape
    last: List[State] = []
    for number, cell in enumerate(_cells(own, gates)):
        direction = number % own.num_directions
        if direction == 0:
            source, outputs = x, []
        given = p.split(p.linear(source, cell.of_input, cell.bias), range(times + 1), 0)
        state = _state_of(p, initial, number)
        made: List[Any] = [None] * times
        for time in range(times) if direction == 0 else reversed(range(times)):
            state = step(p, p.reshape(given[time], (batch, -1)), cell, state, activation)
            made[time] = p.reshape(state[0], (1, batch, -1))
        last.append(state)
        outputs.append(p.concat(made, 0))
        if direction == own.num_directions - 1:
            x = p.concat(outputs, 2)
    return (p.transpose(x, (1, 0, 2)) if own.batch_first else x), last


def _state_of(p: Primitives, initial: Optional[Sequence[Value]], cell: int) -> Optional[State]:
    if initial is None:
        return None
    return tuple(p.reshape(p.slice(each, 0, cell, cell + 1), each.shape[1:]) for each in initial)


def _stacked(p: Primitives, states: Sequence[Value]) -> Value:
    return p.concat([p.reshape(state, (1, *state.shape)) for state in states], 0)


@module(M.RNN)
def rnn(p: Primitives, own: M.RNN, x: Value, hx: Optional[Value] = None) -> Tuple[Value, Value]:
    """``megengine.module.RNN``: (output, last state of each cell)."""
    output, last = _unrolled(p, own, x, None if hx is None else (constant(hx),), 1)
    return output, _stacked(p, [state[0] for state in last])


@module(M.LSTM)
def lstm(
    p: Primitives, own: M.LSTM, x: Value, hx: Optional[Sequence[Value]] = None
) -> Tuple[Value, Tuple[Value, Value]]:
    """``megengine.module.LSTM``: (output, (last h, last c of each cell)); all states are zero where none is given.

    MegEngine 1.13 takes ``proj_size`` and has neither weights nor results for it.
    """
    output, last = _unrolled(p, own, x, None if hx is None else [constant(each) for each in hx], 4)
    return output, (_stacked(p, [state[0] for state in last]), _stacked(p, [state[1] for state in last]))


def _of_cell(own: Any) -> Cell:
    bias = None if own.bias_ih is None else (own.bias_ih.numpy() + own.bias_hh.numpy()).reshape(-1)
    return Cell(array_of(own.weight_ih), array_of(own.weight_hh), bias)


@module(M.RNNCell)
def rnn_cell(p: Primitives, own: M.RNNCell, x: Value, hx: Optional[Value] = None) -> Value:
    """``megengine.module.RNNCell``."""
    cell = _of_cell(own)
    given = p.linear(x, cell.of_input, cell.bias)
    return _rnn_step(p, given, cell, None if hx is None else (constant(hx),), own.nonlinearity)[0]


@module(M.LSTMCell)
def lstm_cell(p: Primitives, own: M.LSTMCell, x: Value, hx: Optional[Sequence[Value]] = None) -> State:
    """``megengine.module.LSTMCell``."""
    cell = _of_cell(own)
    given = p.linear(x, cell.of_input, cell.bias)
    return _lstm_step(p, given, cell, None if hx is None else tuple(constant(each) for each in hx), "")
