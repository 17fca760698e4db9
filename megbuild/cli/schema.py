"""``doit schema``: the JSON Schema of MODELS.toml, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from megbuild.cli.command import Command


class Schema(Command):
    """The command plug-in."""

    name = "schema"
    doc_purpose = "print the JSON Schema of MODELS.toml with the options of the installed rules"
    doc_usage = ""
    doc_description = None

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(_print, "schema", words)


def _print() -> int:
    from megbuild.declare.load import load
    from megbuild.declare.options import Options
    from megbuild.declare.schema import json_schema

    workspace = load(Path.cwd())
    print(json.dumps(json_schema(Options(workspace.rules), workspace.hardware), indent=2))
    return 0
