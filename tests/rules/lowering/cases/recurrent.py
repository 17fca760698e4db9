"""Recurrent layers."""

import megengine.functional as F
import megengine.module as M

from .registry import case


@case((4, 1, 8), l=lambda: M.LSTM(8, 6))
def lstm(net, x):
    return net.l(x)[0]


@case((2, 4, 8), l=lambda: M.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True))
def lstm_both_ways(net, x):
    output, (h, c) = net.l(x)
    return output, h, c


@case((4, 2, 8), (1, 2, 6), (1, 2, 6), l=lambda: M.LSTM(8, 6, bias=False))
def lstm_with_state(net, x, h, c):
    return net.l(x, (h, c))


@case((4, 2, 8), l=lambda: M.LSTM(8, 6, proj_size=3))
def lstm_with_projection(net, x):
    """Its results are as wide as without one."""
    return net.l(x)[0]


@case((4, 2, 8), r=lambda: M.RNN(8, 6))
def rnn(net, x):
    return net.r(x)


@case(
    (2, 4, 8), (4, 2, 6), r=lambda: M.RNN(8, 6, num_layers=2, bidirectional=True, batch_first=True, nonlinearity="relu")
)
def rnn_with_state(net, x, h):
    return net.r(x, h)


@case((3, 8), (3, 6), r=lambda: M.RNNCell(8, 6))
def rnn_cell(net, x, h):
    return net.r(x, h)


@case((3, 8), (3, 6), (3, 6), l=lambda: M.LSTMCell(8, 6))
def lstm_cell(net, x, h, c):
    return net.l(x, (h, c))


@case((2, 5, 8), i=lambda: M.Linear(8, 18), s=lambda: M.Linear(6, 18))
def gru_written_out(net, x):
    """MegEngine has no GRU of its own."""
    h = F.zeros((x.shape[0], 6))
    for time in range(5):
        given, kept = F.split(net.i(x[:, time]), 3, 1), F.split(net.s(h), 3, 1)
        reset, update = F.sigmoid(given[0] + kept[0]), F.sigmoid(given[1] + kept[1])
        h = (1.0 - update) * F.tanh(given[2] + reset * kept[2]) + update * h
    return h
