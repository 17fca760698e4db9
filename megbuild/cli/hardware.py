"""``doit hardware``: the devices that outputs can be for, and the road that each takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command
from megbuild.errors import fail

if TYPE_CHECKING:
    from megbuild.declare.models import Hardware, Workspace


class HardwareList(Command):
    """The command plug-in."""

    name = "hardware"
    doc_purpose = "list the devices that outputs can be for, or tell all of one"
    doc_usage = "[NAME]"
    doc_description = None

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _tell(words))


def _tell(words: list[str]) -> int:
    from megbuild.declare.hints import did_you_mean, quoted
    from megbuild.declare.load import load

    if len(words) > 1:
        raise fail("MB401", "doit hardware takes one name", "doit help hardware")
    workspace = load(Path.cwd(), ())
    if words and words[0] not in workspace.hardware:
        name = words[0]
        raise fail("MB115", f"there is no hardware {quoted(name)}", did_you_mean(name, workspace.hardware))
    if words:
        _whole(workspace, workspace.hardware[words[0]])
        return 0
    width = max(map(len, workspace.hardware))
    family = ""
    for name, hardware in workspace.hardware.items():
        if hardware.family != family:
            family = hardware.family
            print(family)
        print(f"  {name:<{width}}  {_road(workspace, hardware):<24}  {hardware.summary}")
    return 0


def _whole(workspace: Workspace, hardware: Hardware) -> None:
    options = ", ".join(f"{name} = {value}" for name, value in hardware.options.items())
    runs = [
        rule.rule.runs_on for rule in workspace.rules if rule.rule.produces == hardware.format and rule.rule.runs_on
    ]
    for key, value in (
        ("family", hardware.family),
        ("summary", hardware.summary),
        ("format", hardware.format),
        ("road", _road(workspace, hardware)),
        ("options", options),
        ("verified on", ", ".join(runs[0]) if runs and hardware.runs_here else "not run on the build machine"),
        ("source", hardware.source),
    ):
        print(f"{key:<12} {value or '-'}")


def _road(workspace: Workspace, hardware: Hardware) -> str:
    from megbuild.graph import routes

    road = routes.shortest(workspace.rules, "tm", hardware.format)
    return "no rule makes it" if road is None else " -> ".join(["tm", *(rule.rule.produces for rule in road)])
