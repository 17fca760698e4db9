"""``doit lock``: MODELS.lock, the list of all that models are made from, written, checked and merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command
from megbuild.errors import FAILED, fail

if TYPE_CHECKING:
    from megbuild.declare.models import Workspace
    from megbuild.store.files import Files

USAGE = "[--check | --update | --merge BASE OURS THEIRS]"


def _flag(name: str, help: str) -> dict[str, Any]:
    return {"name": name, "short": "", "long": name, "type": bool, "default": False, "help": help}


class Lock(Command):
    """The command plug-in."""

    name = "lock"
    doc_purpose = "write, check or merge MODELS.lock: the digests of all that models are made from"
    doc_usage = USAGE
    doc_description = "--update, or nothing: write it. --merge: what git calls to merge it (docs/commands.md)."
    cmd_options = (
        _flag("check", "write nothing; say what is not as locked"),
        _flag("update", "write it anew"),
        _flag("merge", "merge three versions of it into OURS, leaf by leaf"),
    )

    def execute(self, params: dict[str, Any], words: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _dispatch(params, words))


def _dispatch(params: dict[str, Any], words: list[str]) -> int:
    if sum(params[name] for name in ("check", "update", "merge")) > 1 or bool(words) != params["merge"]:
        raise fail("MB401", "doit lock was called wrongly", f"doit lock {USAGE}")
    return _merge(words) if params["merge"] else _check() if params["check"] else _update()


def workspace_and_files() -> tuple[Workspace, Files]:
    """The workspace here, and a view of its files that spares reading those that are known."""
    from megbuild.declare.load import load
    from megbuild.store.files import Files
    from megbuild.store.state import State

    workspace = load(Path.cwd())
    root = Path(workspace.root)
    return workspace, Files(root, State.load(root, lambda text: None).known)


def check_lock() -> None:
    """What ``--locked`` asks for; raises MB720 or MB721."""
    from megbuild.release import lock

    workspace, files = workspace_and_files()
    lock.check(Path(workspace.root), workspace, files)


def _check() -> int:
    check_lock()
    print("everything is as locked")
    return 0


def _update() -> int:
    from megbuild.release import lock
    from megbuild.store.recovery import hand_over

    workspace, files = workspace_and_files()
    path = Path(workspace.root, lock.NAME)
    now = lock.leaves(workspace, files)
    try:
        before = lock.parse(path.read_text("utf-8")) if path.is_file() else {}
    except Exception:  # one that cannot be read is written anew
        before = {}
    for line in lock.differences(before, now):
        print(line)
    hand_over(path, lock.text(now).encode(), print)
    print(f"{lock.NAME}: {len(now)} leaves")
    return 0


def _merge(words: list[str]) -> int:
    from megbuild.release import lock
    from megbuild.store.durable import place

    if len(words) != 3:
        raise fail("MB401", "doit lock --merge needs three files", f"doit lock {USAGE}")
    base, ours, theirs = (lock.parse(Path(word).read_text("utf-8"), word) for word in words)
    merged, clashes = lock.merge(base, ours, theirs)
    place(Path(words[1]), lock.merged_text(merged, clashes, ours, theirs).encode())
    if clashes:
        hint = "settle them in the file, or doit lock --update once the files themselves are merged"
        raise fail("MB722", f"both sides changed {', '.join(clashes)}", hint, status=FAILED)
    return 0
