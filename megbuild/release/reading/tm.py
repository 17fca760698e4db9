"""A .tm, read without running any of it: every class that its pickle names is an empty stand-in here."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import Any

_OPERATOR = {"func", "module_type", "opdef"}
"""Attributes in which a traced module says what an expression calls, as (module, name)."""

_CONTAINER = "megengine.module.module.Module"


class _Inert:
    """Stands for an object of any class: it takes what the pickle gives it and does nothing."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return _Inert()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """As of a list."""

    def extend(self, values: Any) -> None:
        """As of a list."""


class _Reader(pickle.Unpickler):
    """Finds no class at all, and notes what the objects were given."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.named: list[str] = []
        self.called: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        """An empty class of that name, whatever it is."""
        self.named.append(f"{module}.{name}")
        return type(name.rpartition(".")[2], (_Inert,), {"__setstate__": self._state, "__hash__": object.__hash__})

    def _state(self, given: Any) -> None:
        fields = next((part for part in given if isinstance(part, dict)), {}) if isinstance(given, tuple) else given
        for key, value in fields.items() if isinstance(fields, dict) else ():
            pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
            if key in _OPERATOR and pair:
                self.called.append(".".join(value))


def _read(content: bytes) -> _Reader:
    reader = _Reader(content)
    reader.load()
    return reader


def lines(content: bytes) -> Iterator[str]:
    """The pickle's own instructions with their arguments: names, numbers, texts, and long values by their length."""
    import hashlib
    import pickletools

    for code, argument, _ in pickletools.genops(content):
        if isinstance(argument, bytes | str) and len(argument) > 200:
            raw = argument if isinstance(argument, bytes) else argument.encode("utf-8", "surrogatepass")
            yield f"{code.name} {len(raw)} bytes {hashlib.sha256(raw).hexdigest()[:16]}"
        elif code.name not in ("MEMOIZE", "FRAME", "BINPUT", "LONG_BINPUT"):
            yield f"{code.name} {argument!r}" if argument is not None else code.name


def operators(content: bytes) -> Iterator[str]:
    """What the graph calls: functions and modules, each as often as it is called; modules that only hold others are none."""
    yield from (name for name in _read(content).called if name != _CONTAINER)
