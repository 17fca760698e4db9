"""What every command of megbuild is to doit: it makes its own tasks, and options and words may mix."""

from __future__ import annotations

import sys
from getopt import GetoptError, gnu_getopt
from typing import Any

import doit.cmd_base

from megbuild.errors import USAGE, Problem


class Command(doit.cmd_base.Command):  # type: ignore[misc]
    """A plug-in command; ``execute`` gets the parsed options and the words, and gives the exit status."""

    def __init__(self, task_loader: object = None, cmds: object = None, **rest: Any) -> None:
        super().__init__(**rest)

    def parse_execute(self, in_args: list[str]) -> int:
        """Called by doit with what stands after the command's name. doit itself takes options before words only."""
        try:
            options, rest = gnu_getopt(in_args, self.cmdparser.get_short(), self.cmdparser.get_long())
        except GetoptError as error:
            print(Problem("MB401", f"doit {self.name}: {error}", f"doit help {self.name}"), file=sys.stderr)
            return USAGE
        given = [f"{name}={value}" if value and name.startswith("--") else name + value for name, value in options]
        return int(super().parse_execute([*given, "--", *rest]))
