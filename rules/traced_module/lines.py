"""Which line of the training code each traced operation comes from.

A .tm holds no file and no line. They are noted while tracing, by the path of the operation in the network
(``backbone.layer1.0.[func_relu]``), which survives saving and loading. The list stands beside the .tm, never in it: the
.tm must not change with the lines of the code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from megengine.traced_module.expr import Apply, CallFunction, CallMethod

_MARK = "_megbuild_line"


@contextmanager
def noted(root: Path) -> Iterator[None]:
    """Notes on every operation that is traced the innermost line below ``root`` that led to it."""
    originals = {kind: kind.__init__ for kind in (CallFunction, CallMethod, Apply)}
    prefix = f"{root}/"

    def noting(original: Any) -> Any:
        def init(expression: Any, *arguments: Any, **named: Any) -> None:
            original(expression, *arguments, **named)
            setattr(expression, _MARK, _line(sys._getframe(1), prefix))

        return init

    for kind, original in originals.items():
        kind.__init__ = noting(original)
    try:
        yield
    finally:
        for kind, original in originals.items():
            kind.__init__ = original


def operations(network: Any) -> list[dict[str, Any]]:
    """Every operation of a freshly traced network: its path, its file (below the root) and its line."""
    return [
        {"path": expression.outputs[0].qualname, "file": line[0], "line": line[1]}
        for expression in _expressions(network.graph)
        if (line := getattr(expression, _MARK, None)) and expression.outputs
    ]


def _expressions(graph: Any) -> Iterator[Any]:
    for expression in graph._exprs:
        yield expression
        if getattr(expression, "graph", None) is not None:
            yield from _expressions(expression.graph)


def _line(frame: FrameType | None, prefix: str) -> tuple[str, int] | None:
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(prefix):
            return name[len(prefix) :], frame.f_lineno
        frame = frame.f_back
    return None
