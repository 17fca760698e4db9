"""``doit toolchain``: list, sync and remove toolchains, and lock the packages of training code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megbuild.cli.command import Command
from megbuild.errors import fail

USAGE = "list | sync [NAME ...] | remove NAME ... | lock FILE | NAME"


class Toolchain(Command):
    """The command plug-in."""

    name = "toolchain"
    doc_purpose = "list, install or remove the locked tool environments; lock a training environment"
    doc_usage = USAGE
    doc_description = (
        "list: what is declared and installed. sync: install (all, or the named ones). remove: delete from the cache. "
        "lock FILE: pin the packages that training code needs beside MegEngine (requirements.in -> requirements.lock). "
        "lock NAME: the same for a toolchain of megbuild's own."
    )

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _dispatch(words))


def _dispatch(words: list[str]) -> int:
    verb, names = (words[0], words[1:]) if words else ("list", [])
    verbs = {"list": _list, "sync": _sync, "remove": _remove, "lock": _lock}
    if verb not in verbs:
        raise fail("MB401", f"doit toolchain has no {verb}", f"doit toolchain {USAGE}")
    verbs[verb](names)
    return 0


def _declared(names: list[str]) -> dict[str, Any]:
    """The toolchains of this workspace by name, the training environments of its models among them; all, or those named."""
    from megbuild.declare.hints import did_you_mean
    from megbuild.declare.load import load
    from megbuild.pipeline import environments

    workspace = load(Path.cwd())
    known = {
        **workspace.toolchains,
        **{t.name: t for t in environments(workspace, [m.environment for m in workspace.models]).values()},
    }
    for name in names:
        if name not in known:
            raise fail("MB341", f"there is no toolchain {name}", did_you_mean(name, known))
    return {name: known[name] for name in (names or sorted(known))}


def _list(names: list[str]) -> None:
    from megbuild.execute.toolchains import list_installed
    from megbuild.store.places import cache_folder

    there = {listed.digest: listed for listed in list_installed(cache_folder())}
    declared = _declared(names)
    for name, toolchain in declared.items():
        listed = there.pop(toolchain.digest, None)
        state = f"installed, {listed.size / 1e6:.0f} MB" if listed else "not installed"
        print(f"{name:<28} {toolchain.digest[:12]}  Python {toolchain.python}  {state}  {toolchain.summary}")
    for listed in there.values():
        print(
            f"{listed.name:<28} {listed.digest[:12]}  installed, {listed.size / 1e6:.0f} MB, of another lock or workspace"
        )


def _sync(names: list[str]) -> None:
    from megbuild.declare.root import find
    from megbuild.execute.toolchains import provision
    from megbuild.pipeline import cached
    from megbuild.store.places import cache_folder

    declared = _declared(names)
    with cached(Path(find(Path.cwd())), print):
        for name, toolchain in declared.items():
            installed = provision(toolchain, cache_folder(), print)
            print(f"{name} is installed in {installed.folder}")


def _remove(names: list[str]) -> None:
    from megbuild.execute.toolchains import remove
    from megbuild.store.lock import alone
    from megbuild.store.places import cache_folder

    if not names:
        raise fail("MB401", "doit toolchain remove needs a name", "doit toolchain list shows them")
    declared = _declared(names)
    with alone(cache_folder(), print):  # a running build may run something in them
        for name, toolchain in declared.items():
            print(f"{name} removed" if remove(toolchain, cache_folder()) else f"{name} is not installed")


def _lock(names: list[str]) -> None:
    from megbuild.declare.rules import builtin_rules_folder
    from megbuild.declare.toolchains import describe, folders
    from megbuild.execute.environment_lock import lock, lock_toolchain

    if len(names) != 1:
        raise fail("MB401", "doit toolchain lock needs one file or name", "doit toolchain lock requirements.in")
    known = folders(builtin_rules_folder())  # not the workspace's: its models may wait for this very lock
    if names[0] in known and not Path(names[0]).is_file():
        lock_toolchain(names[0], known, print)
        return
    print(f"wrote {lock(Path(names[0]), describe('megengine', known), print)}")
