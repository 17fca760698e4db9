"""The table of handlers: which function lowers which operation of MegEngine.

A handler takes the primitives and what the operation was called with: values of the network as :class:`Value`, all else
as it is. It returns one value or a tuple of them. Each says where its meaning is written down.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Optional, Set, TypeVar

from megengine.traced_module.expr import Apply, CallFunction, CallMethod, Expr
from megengine.traced_module.node import ModuleNode

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)

FUNCTIONS: Dict[Any, Handler] = {}
"""By the function itself: ``megengine.functional.relu``."""
METHODS: Dict[str, Handler] = {}
"""By the name of a tensor's method: ``__add__``."""
MODULES: Dict[type, Handler] = {}
"""By the module's class: ``megengine.module.Conv2d``. The handler is given the module before its arguments."""
OPERATORS: Dict[str, Handler] = {}
"""By the name of MegEngine's own operator, where the network applied one directly; the handler is given it first."""


CONVOLUTIONS: Set[Handler] = set()
"""Handlers of operations that are one convolution and nothing else."""


def function(*functions: Any) -> Callable[[H], H]:
    """Registers the handler of functions."""
    return _registering(FUNCTIONS, functions)


def method(*names: str) -> Callable[[H], H]:
    """Registers the handler of a tensor's methods."""
    return _registering(METHODS, names)


def module(*classes: type) -> Callable[[H], H]:
    """Registers the handler of modules."""
    return _registering(MODULES, classes)


def operator(*names: str) -> Callable[[H], H]:
    """Registers the handler of MegEngine's own operators."""
    return _registering(OPERATORS, names)


def _registering(table: Dict[Any, Handler], keys: Any) -> Callable[[H], H]:
    def register(handler: H) -> H:
        for key in keys:
            assert key not in table, f"{key} has a handler"
            table[key] = handler
        return handler

    return register


def handler(expr: Expr) -> Optional[Handler]:
    """The handler of an operation of a traced network, or None."""
    if isinstance(expr, CallFunction):
        return FUNCTIONS.get(expr.func)
    if isinstance(expr, CallMethod):
        if isinstance(expr.inputs[0], ModuleNode):
            return MODULES.get(type(expr.inputs[0].owner))
        return METHODS.get(expr.method)
    return OPERATORS.get(type(expr.opdef).__name__) if isinstance(expr, Apply) else None


def called(expr: Expr) -> str:
    """What the operation is called in the training code: ``functional.matmul``, ``module.Conv2d``, ``Tensor.astype``."""
    if isinstance(expr, CallFunction):
        return f"functional.{expr.func.__name__}"
    if isinstance(expr, CallMethod):
        owner = expr.inputs[0].owner if isinstance(expr.inputs[0], ModuleNode) else None
        return f"Tensor.{expr.method}" if owner is None else f"module.{type(owner).__name__}"
    return f"operator {type(expr.opdef).__name__}" if isinstance(expr, Apply) else type(expr).__name__


def flat(results: Any) -> Iterator[Any]:
    """The results of an operation one by one, out of lists, tuples and dicts."""
    if isinstance(results, dict):
        results = [results[key] for key in sorted(results)]
    if isinstance(results, (list, tuple)):
        for result in results:
            yield from flat(result)
    else:
        yield results
