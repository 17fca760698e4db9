"""Products of matrices."""

from __future__ import annotations

from typing import Any

import megengine.functional as F
import numpy as np

from ..graph import Node
from ..table import operator
from ..walk import Walk, shape_of


@operator("MatMul")
def matmul(w: Walk, n: Node) -> Any:
    """As numpy's matmul. A matrix of the file that vectors are multiplied with becomes the weight of a Linear."""
    a, b = w.inputs()
    if isinstance(b, np.ndarray) and b.ndim == 2 and not isinstance(a, np.ndarray) and a.ndim > 1:
        return F.linear(a, w.tensor(np.ascontiguousarray(b.T), "weight"))
    a, b = w.tensor(a, "a"), w.tensor(b, "b")
    if a.ndim == 1 and b.ndim == 1:
        return F.sum(a * b)
    if a.ndim == 1:
        return F.squeeze(F.matmul(F.expand_dims(a, 0), b), -2)
    if b.ndim == 1:
        return F.squeeze(F.matmul(a, F.expand_dims(b, -1)), -1)
    return F.matmul(a, b)


@operator("Gemm")
def gemm(w: Walk, n: Node) -> Any:
    """alpha A B + beta C, with A and B transposed where asked."""
    a, b, c = w.input(0), w.input(1), w.input(2)
    alpha, beta = n.attribute("alpha", 1.0), n.attribute("beta", 1.0)
    if isinstance(b, np.ndarray) and not n.attribute("transA", 0):
        weight = b if n.attribute("transB", 0) else np.ascontiguousarray(b.T)
        weight = weight if alpha == 1.0 else (weight * np.float32(alpha)).astype(b.dtype)
        bias = (
            c if c is None or beta == 1.0 or not isinstance(c, np.ndarray) else (c * np.float32(beta)).astype(c.dtype)
        )
        plain = (
            isinstance(bias, np.ndarray)
            and bias.size == shape_of(weight)[0]
            and shape_of(bias)[-1:] == shape_of(weight)[:1]
        )
        weight = w.tensor(weight, "weight")
        if c is None or plain:
            return F.linear(w.tensor(a), weight, None if c is None else w.tensor(bias.reshape(-1), "bias"))
        product = F.linear(w.tensor(a), weight)
        return product + (w.operand(bias, "bias") if isinstance(bias, np.ndarray) else c * beta if beta != 1.0 else c)
    transposed = {"transpose_a": bool(n.attribute("transA", 0)), "transpose_b": bool(n.attribute("transB", 0))}
    product = F.matmul(w.tensor(a, "a"), w.tensor(b, "b"), **transposed)
    product = product if alpha == 1.0 else product * alpha
    if c is None:
        return product
    bias = w.tensor(c, "bias")
    return product + (bias if beta == 1.0 else bias * beta)


@operator("Einsum")
def einsum(w: Walk, n: Node) -> Any:
    """By a transposition of each operand, one batched product and a sum; the operands from left to right."""
    equation = n.attribute("equation", "").replace(" ", "")
    from ..table import Unsupported

    if "." in equation or not equation:
        raise Unsupported(f"the equation {equation}")
    left, _, result = equation.partition("->")
    terms = left.split(",")
    if "->" not in equation:
        letters = sorted(set(left) - {","})
        result = "".join(letter for letter in letters if left.count(letter) == 1)
    if any(len(set(term)) < len(term) for term in terms):
        raise Unsupported(f"the diagonal in the equation {equation}")
    value, held = w.tensor(w.input(0), "a"), terms[0]
    for index, term in enumerate(terms[1:], 1):
        other = w.tensor(w.input(index), f"b{index}")
        later = set(result).union(*terms[index + 1 :])
        value, held = _contract(value, held, other, term, later)
    gone = [held.index(letter) for letter in held if letter not in result]
    if gone:
        value, held = F.sum(value, gone), "".join(letter for letter in held if letter in result)
    return _permuted(value, held, result)


def _permuted(value: Any, held: str, wanted: str) -> Any:
    return value if held == wanted else F.transpose(value, [held.index(letter) for letter in wanted])


def _contract(a: Any, of_a: str, b: Any, of_b: str, later: Any) -> Any:
    """The product of two operands, summed over the letters that both have and nothing later asks for."""
    sizes = {**dict(zip(of_a, shape_of(a))), **dict(zip(of_b, shape_of(b)))}
    batch = [letter for letter in of_a if letter in of_b and letter in later]
    over = [letter for letter in of_a if letter in of_b and letter not in later]
    rows, columns = [x for x in of_a if x not in of_b], [x for x in of_b if x not in of_a]

    def count(letters: Any) -> int:
        return int(np.prod([sizes[letter] for letter in letters], dtype=np.int64))

    first = F.reshape(_permuted(a, of_a, "".join(batch + rows + over)), (count(batch), count(rows), count(over)))
    second = F.reshape(_permuted(b, of_b, "".join(batch + over + columns)), (count(batch), count(over), count(columns)))
    held = "".join(batch + rows + columns)
    return F.reshape(F.matmul(first, second), tuple(sizes[letter] for letter in held)), held
