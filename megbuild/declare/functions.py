"""The functions that a module defines, as far as a look at its lines tells: nothing is parsed."""

from __future__ import annotations

import re

_DEFINED = re.compile(rb"^(?:def|class)[ \t]+(\w+)", re.MULTILINE)


def defined(data: bytes) -> frozenset[str]:
    """The names of functions and classes that stand at the start of a line."""
    return frozenset(found.decode("ascii", "replace") for found in _DEFINED.findall(data))
