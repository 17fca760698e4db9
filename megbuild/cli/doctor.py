"""``doit doctor``: what is there, what can be installed, and what must come from a vendor; to paste into a report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command

if TYPE_CHECKING:
    from megbuild.declare.models import Toolchain, Workspace


class Doctor(Command):
    """The command plug-in."""

    name = "doctor"
    doc_purpose = "tell what of the toolchains and SDKs is on this machine, for a report"
    doc_usage = ""
    doc_description = None

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(_tell, "doctor", words)


def _tell() -> int:
    from megbuild.declare.load import load

    print("```text")  # a report shows it as it stands
    for name, value in _machine():
        print(f"{name:<12} {value}")
    workspace = load(Path.cwd(), ())
    for toolchain in workspace.toolchains.values():
        print(f"\n{toolchain.name}: {toolchain.summary}")
        for line in _toolchain(workspace, toolchain):
            print(f"  {line}")
    print("```")
    return 0


def _machine() -> list[tuple[str, str]]:
    """What a maintainer asks for first. No name, no folder of the user's."""
    import os
    import platform
    from importlib.metadata import version

    processor = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    system = next((line for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME=")), "")
    return [
        ("megbuild", version("megbuild")),
        ("Python", platform.python_version()),
        (
            "system",
            f"{system.partition('=')[2].strip().strip(chr(34))}, Linux {platform.release()}, {platform.machine()}",
        ),
        ("processor", f"{processor.partition(':')[2].strip()}, {os.cpu_count()} cores"),
    ]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _asked(toolchain: Toolchain) -> list[str]:
    """The packages that its requirements name, and not those that these bring along; of what it extends as well."""
    from megbuild.declare.toolchains import normalised

    texts = ["\n".join(_lines(str(Path(lock).with_name("requirements.in")))) for lock in toolchain.locks]
    found = [name for text in texts for name in re.findall(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)]
    return list(dict.fromkeys(map(normalised, found)))


def _toolchain(workspace: Workspace, toolchain: Toolchain) -> list[str]:
    from megbuild.declare.toolchains import pins
    from megbuild.execute.toolchains import installed
    from megbuild.store.places import cache_folder

    makes = [rule.rule.produces for rule in workspace.rules if rule.rule.toolchain == toolchain.name]
    state = (
        "there" if installed(toolchain, cache_folder()) else "can be installed: doit toolchain sync " + toolchain.name
    )
    pinned = pins(*map(Path, toolchain.locks))
    asked = [f"{name} {pinned[name]}" for name in _asked(toolchain) if name in pinned]
    lines = [
        f"environment {toolchain.digest[:12]}, Python {toolchain.python}, {len(pinned)} packages: {state}",
        f"with {', '.join(asked)}",
        f"makes {', '.join(sorted(set(makes))) or 'nothing by itself'}",
    ]
    for sdk in toolchain.sdks:
        lines.append(f"{sdk.name}: " + (f"must be obtained: {sdk.trouble}" if sdk.trouble else f"there, {sdk.version}"))
        lines += [f"  {sdk.install}"] if sdk.trouble else []
    return lines
