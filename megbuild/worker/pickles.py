"""What a pickle would look up and call, found by following its instructions without running any of them.

A pickle is a program without branches: a stack, a memo, and names of classes and functions that it looks up and calls. So
following it with stand-ins shows exactly what loading would do. :class:`Names` says what it may look up; loading it is
then done by :func:`unpickler`, which finds nothing else.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

LOOKED_UP = frozenset({"func", "module_type", "module", "opdef"})
"""Attributes of a traced module in which a pair of texts names what MegEngine imports and calls later."""
_TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_EXTENSIONS = {"EXT1", "EXT2", "EXT4"}
_PERSISTENT = {"PERSID", "BINPERSID"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_CLASSES = "it makes classes of its own"
_MOST_STEPS = 20_000_000
"""Instructions that are followed; a network has some for each of its operations, and none for each weight."""
_MOST_LINES = 100
_LONGEST_LINE = 400
"""Characters of a sentence about a pickle: names in it are as long as their writer likes."""
_GETS = {"GET", "BINGET", "LONG_BINGET"}


@dataclass(frozen=True)
class Names:
    """What a pickle may hold, as exact dotted names: ``types`` that it looks up itself, ``called`` those it names in pairs."""

    types: frozenset[str]
    called: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Names:
        """From lines ``type NAME`` and ``call NAME``; a # begins a comment."""
        found: dict[str, set[str]] = {"type": set(), "call": set()}
        for line in text.splitlines():
            kind, _, name = line.partition("#")[0].strip().partition(" ")
            if kind:
                found[kind].add(name)
        return cls(frozenset(found["type"]), frozenset(found["call"]))

    def more(self, names: Iterable[str]) -> Names:
        """With names that somebody has reviewed, in both roles."""
        return Names(self.types | frozenset(names), self.called | frozenset(names))


@dataclass(frozen=True)
class Found:
    """What following a pickle shows, each in the order in which it comes: dotted names, and ``faults`` in words."""

    types: tuple[str, ...]
    called: tuple[str, ...]
    faults: tuple[str, ...]

    def refused(self, names: Names) -> tuple[str, ...]:
        """The names that are not among the allowed ones."""
        strange = [name for name in self.types if name not in names.types]
        return tuple(dict.fromkeys([*strange, *(name for name in self.called if name not in names.called)]))


@dataclass(frozen=True)
class _Text:
    text: str


@dataclass(frozen=True)
class _Name:
    dotted: str


@dataclass(frozen=True)
class _Pair:
    dotted: str


_MARK, _OTHER, _NONE, _OF_NONE = object(), object(), object(), object()
_TYPE = _Name("builtins.type")
_SINGLE = ("builtins.Ellipsis", "builtins.NotImplemented")


@dataclass
class _Machine:
    """The stack and the memo, holding stand-ins."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    types: dict[str, None] = field(default_factory=dict)
    called: dict[str, None] = field(default_factory=dict)
    faults: dict[str, None] = field(default_factory=dict)
    steps: int = 0

    def step(self, name: str, argument: Any, before: list[Any], after: list[Any]) -> None:
        self.steps += 1
        if name in _TEXTS:
            self.stack.append(_Text(str(argument)))
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in _PUTS or name == "MEMOIZE":
            self._put(len(self.memo) if name == "MEMOIZE" else int(argument))
        elif name in _GETS:
            self.stack.append(self.memo[int(argument)])
        elif name == "DUP":
            self.stack.append(self.stack[-1])
        elif name == "GLOBAL":
            self._look_up(*argument.split(" ", 1))
        elif name == "STACK_GLOBAL":
            self._stack_global()
        elif name == "NONE":
            self.stack.append(_NONE)
        elif name == "TUPLE1":
            alone = self.stack.pop()
            none = alone is _NONE or (isinstance(alone, _Name) and alone.dotted in _SINGLE)
            self.stack.append(_OF_NONE if none else _OTHER)
        elif name == "TUPLE2":
            second, first = self.stack.pop(), self.stack.pop()
            self.stack.append(_pair([first, second]))
        elif name == "TUPLE":
            self.stack.append(_pair(self._to_mark()))
        elif name in ("SETITEM", "SETITEMS"):
            self._set([self.stack.pop(), self.stack.pop()][::-1] if name == "SETITEM" else self._to_mark())
        else:
            self._plain(name, argument, before, after)

    def _plain(self, name: str, argument: Any, before: list[Any], after: list[Any]) -> None:
        if name in _EXTENSIONS:
            self.faults["it looks names up in the extension registry"] = None
        elif name in _PERSISTENT:
            self.faults["it refers to objects outside of itself"] = None
        elif name == "INST":
            self._look_up(*argument.split(" ", 1))
            self.stack.pop()
            if argument == "builtins type":
                self.faults[_CLASSES] = None
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ"):
            self._call(name)
        elif name in ("BUILD", "APPEND"):
            self._change(self.stack[-2])
        elif name in ("APPENDS", "ADDITEMS"):
            self._change(self.stack[self._mark() - 1])
        if any(part is pickletools.markobject for part in before):
            self._to_mark()
            before = before[: before.index(pickletools.markobject)]
        for _ in before:
            self.stack.pop()
        self.stack.extend([_OTHER] * len(after))

    def _call(self, name: str) -> None:
        """``type(None)`` is how the type of None is written; a call with more would make a class."""
        at = self._mark() + 1 if name == "OBJ" else -3 if name == "NEWOBJ_EX" else -2
        of = self.stack[at]
        if of == _TYPE and not (name == "REDUCE" and self.stack[-1] is _OF_NONE):
            self.faults[_CLASSES] = None

    def _change(self, target: Any) -> None:
        """A class or function is there for everybody: an honest file changes only objects that it made."""
        if isinstance(target, _Name):
            self.faults[f"it changes {target.dotted} itself"] = None

    def _put(self, index: int) -> None:
        if index > self.steps:  # the real memo is an array: a large number alone would take all memory
            raise ValueError("a memo number beyond reason")
        self.memo[index] = self.stack[-1]

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if isinstance(name, _Text) and isinstance(module, _Text):
            self._look_up(module.text, name.text)
        else:
            self.faults["it computes the names that it looks up"] = None
            self.stack.append(_OTHER)

    def _look_up(self, module: str, name: str) -> None:
        self.types[f"{module}.{name}"] = None
        if "." in name:
            self.faults[f"it looks up {name}, an attribute of an attribute, in {module}"] = None
        self.stack.append(_Name(f"{module}.{name}"))

    def _set(self, items: list[Any]) -> None:
        self._change(self.stack[-1])
        for key, value in zip(items[::2], items[1::2]):
            if isinstance(key, _Text) and key.text in LOOKED_UP and isinstance(value, _Pair):
                self.called[value.dotted] = None

    def _mark(self) -> int:
        """Where the topmost mark lies. What lies above it is taken away next, so that looking costs no more than that."""
        return next(at for at in range(len(self.stack) - 1, -1, -1) if self.stack[at] is _MARK)

    def _to_mark(self) -> list[Any]:
        above: list[Any] = []
        while self.stack[-1] is not _MARK:
            above.append(self.stack.pop())
        self.stack.pop()
        return above[::-1]


def _pair(parts: list[Any]) -> Any:
    if len(parts) == 2 and all(isinstance(part, _Text) for part in parts):
        return _Pair(".".join(part.text for part in parts))
    return _OTHER


class _Untold:
    """A file that does not tell where it stands: else its reader asks the kernel for that before every instruction."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.readline = file.read, file.readline


def follow(file: BinaryIO) -> Found:
    """Follow the pickle in ``file``, from where it stands to its end."""
    machine = _Machine()
    try:
        for number, (code, argument, _) in enumerate(pickletools.genops(cast(BinaryIO, _Untold(file)))):
            machine.step(code.name, argument, code.stack_before, code.stack_after)
            if number == _MOST_STEPS:
                raise ValueError(f"it has more than {_MOST_STEPS} instructions")
    except Exception as error:  # whatever a file of no sense does to the reader of it
        said = str(error) or type(error).__name__
        machine.faults[f"it is no whole pickle ({said[:100]})"] = None
    else:
        if file.read(1):
            machine.faults["something follows after its end"] = None
    return Found(tuple(machine.types), tuple(machine.called), tuple(machine.faults))


def unpickler(names: Names) -> type[pickle.Unpickler]:
    """An unpickler that finds the allowed names and no others."""

    class Allowed(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if f"{module}.{name}" not in names.types or "." in name:
                raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
            return super().find_class(module, name)

    return Allowed


def lines(refused: Iterable[str], faults: Iterable[str]) -> Iterator[str]:
    """What is wrong with a pickle, one sentence each; the first of them, where they are many."""
    told = (*(f"it names {name}, which is none of MegEngine's for networks" for name in refused), *faults)
    yield from (_plain(text) for text in told[:_MOST_LINES])
    if len(told) > _MOST_LINES:
        yield f"and {len(told) - _MOST_LINES} things more"


def _plain(text: str) -> str:
    """One line that cannot do anything to a terminal, and is not endless."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[:_LONGEST_LINE])
    return shown if len(text) <= _LONGEST_LINE else f"{shown}..."


def follow_bytes(content: bytes) -> Found:
    """The same for a pickle in memory."""
    return follow(io.BytesIO(content))
