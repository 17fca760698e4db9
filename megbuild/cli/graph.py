"""``doit graph --routes``: the conversion graph of the installed rules, as a Mermaid picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megbuild.cli.command import Command

ROUTES = {
    "name": "routes",
    "short": "",
    "long": "routes",
    "type": bool,
    "default": False,
    "help": "print the conversion graph (the default)",
}


class Graph(Command):
    """The command plug-in."""

    name = "graph"
    doc_purpose = "print the conversion graph of the installed rules as Mermaid"
    doc_usage = "[--routes]"
    doc_description = None
    cmd_options = (ROUTES,)

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(_routes, "graph", words)


def _routes() -> int:
    from megbuild.declare.load import load
    from megbuild.graph.routes import mermaid

    print(mermaid(load(Path.cwd()).rules))
    return 0
