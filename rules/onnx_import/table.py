"""The table of operators: which function imports which operator of ONNX.

A handler is given the walk and the node, reads its values from them and returns one value or a tuple of them. Its
meaning is written down in the operator's definition at https://onnx.ai/onnx/operators, of every version up to 19.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, TypeVar

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)

OPERATORS: Dict[str, Handler] = {}
"""By the operator's name in the standard domain."""


class Unsupported(Exception):
    """Raised by a handler for a node that MegEngine cannot compute; the message says what about it."""


def operator(*names: str) -> Callable[[H], H]:
    """Registers the handler of operators."""

    def register(handler: H) -> H:
        for name in names:
            assert name not in OPERATORS, f"{name} has a handler"
            OPERATORS[name] = handler
        return handler

    return register
