"""Options before and after words: doit itself takes options before words only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from getopt import GetoptError, gnu_getopt
from typing import Any

from megbuild.errors import USAGE, Problem


def mixed(command: Any, words: list[str], parse_execute: Callable[[list[str]], Any]) -> int:
    """Give a command of doit its options first; the exit status."""
    try:
        options, rest = gnu_getopt(words, command.cmdparser.get_short(), command.cmdparser.get_long())
    except GetoptError as error:
        print(Problem("MB401", f"doit {command.name}: {error}", f"doit help {command.name}"), file=sys.stderr)
        return USAGE
    given = [f"{name}={value}" if value and name.startswith("--") else name + value for name, value in options]
    return int(parse_execute([*given, "--", *rest]))
