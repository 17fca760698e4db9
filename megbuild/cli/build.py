"""``doit build``: make what is stale, verify it, and say so."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from megbuild.cli.command import Command
from megbuild.cli.fast import look_here
from megbuild.errors import fail
from megbuild.store.noop import Looked

JOBS = {
    "name": "jobs",
    "short": "n",
    "long": "jobs",
    "type": int,
    "default": 0,
    "help": "actions at a time [default: one per core]",
}
MEMORY = {
    "name": "memory",
    "short": "",
    "long": "memory",
    "type": int,
    "default": 0,
    "help": "megabytes that running actions may take together [default: what is free]",
}
KEEP_GOING = {
    "name": "keep_going",
    "short": "k",
    "long": "keep-going",
    "type": bool,
    "default": False,
    "help": "go on with what does not need a failed action",
}
DRY_RUN = {
    "name": "dry_run",
    "short": "",
    "long": "dry-run",
    "type": bool,
    "default": False,
    "help": "show what would run, and why, and run nothing",
}
SUMMARY = {
    "name": "summary",
    "short": "",
    "long": "summary",
    "type": str,
    "default": "",
    "help": "write the final table to this file as JSON",
}
REQUIRE_SANDBOX = {
    "name": "require_sandbox",
    "short": "",
    "long": "require-sandbox",
    "type": bool,
    "default": False,
    "help": "fail where actions cannot be confined by namespaces and Landlock",
}


LOCKED = {
    "name": "locked",
    "short": "",
    "long": "locked",
    "type": bool,
    "default": False,
    "help": "fail where anything is not as MODELS.lock says",
}


class Build(Command):
    """The command plug-in; its work is :func:`megbuild.pipeline.build`."""

    name = "build"
    doc_purpose = "make every stale artifact of the models, verified"
    doc_usage = "[LABEL ...]"
    doc_description = "LABEL: //package:model@output, //package:model, //package/..., or :model@output from inside the package. Nothing: what the workspace calls its default."
    cmd_options = (JOBS, MEMORY, KEEP_GOING, DRY_RUN, SUMMARY, REQUIRE_SANDBOX, LOCKED)

    def execute(self, params: dict[str, Any], labels: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _execute(params, labels))


def _execute(params: dict[str, Any], labels: list[str]) -> int:
    collect_less()
    check_limits(params)
    summary = params["summary"]
    if summary and not Path(summary).absolute().parent.is_dir():  # said now, not after the build
        raise fail("MB401", f"--summary {summary}: there is no folder {Path(summary).parent}", "make it first")
    if params["locked"]:
        from megbuild.cli.lock import check_lock

        check_lock()
    looked = None if summary else look_here(labels)  # a summary tells of every label
    if params["dry_run"]:
        return _dry_run(labels, looked, params["keep_going"])
    if looked and looked.unchanged:
        print(looked.note.summary)
        return 0
    return build_once(labels, params, looked)


def check_limits(params: Mapping[str, Any]) -> None:
    """Refuse what no machine has."""
    for option, instead in (("jobs", "one per core"), ("memory", "what is free")):
        if params[option] < 0:
            raise fail("MB401", f"--{option} is {params[option]}: it must be at least 1", f"leave it out for {instead}")


def collect_less() -> None:
    """Look for garbage in cycles seldom: a graph is large, frozen, and needed to the end. Not at the end, either."""
    gc.set_threshold(100_000, 50, 1000)
    atexit.register(gc.freeze)


def build_labels(labels: list[str]) -> int:
    """What ``doit run LABEL`` does: the same build with the defaults; the exit status."""
    from megbuild.cli.guard import guarded

    return guarded(lambda: build_once(labels, {str(option["name"]): option["default"] for option in Build.cmd_options}))


def build_once(labels: list[str], params: Mapping[str, Any], looked: Looked | None = None) -> int:
    """Build what was asked for, and show it; the exit status. ``looked`` is what the fast path has found to have moved."""
    from megbuild.cli import progress, table
    from megbuild.cli.schedule import Scheduler
    from megbuild.execute.report import as_json
    from megbuild.execute.turns import Machine
    from megbuild.pipeline import Asked, build
    from megbuild.store.recovery import hand_over

    listener = progress.listener()
    with listener:
        asked = Asked(tuple(labels), Path.cwd(), looked, params["require_sandbox"], keep_going=params["keep_going"])
        machine = Machine.here(params["jobs"], params["memory"] * 1_000_000)
        report = build(asked, listener, Scheduler(machine, params["keep_going"]))
    for failure in report.failed:
        print(failure, file=sys.stderr)
    for problem in report.left_out:
        print(problem, file=sys.stderr)
    if summary := params.get("summary"):
        hand_over(Path(summary), as_json(report.rows, report.seconds).encode(), print)
    table.show(report.rows, report.seconds, report.others)
    if report.moved:
        more = f" and {len(report.moved) - 3} more" if len(report.moved) > 3 else ""
        print(f"note: changed while the build ran: {', '.join(report.moved[:3])}{more}; build again")
    return 1 if report.failed or report.left_out else 0


def _dry_run(labels: list[str], looked: Looked | None, keep_going: bool) -> int:
    from megbuild.cli.progress import told
    from megbuild.graph.stale import Verb
    from megbuild.pipeline import Asked, prepare

    asked = Asked(tuple(labels), Path.cwd(), looked, keep_going=keep_going)
    prepared = prepare(asked, lambda text: print(text, file=sys.stderr))
    words = {Verb.RUN: "would run    ", Verb.RESTORE: "would restore"}
    count = 0
    for step in prepared.stale():
        count += 1
        print(
            f"{words[step.decision.verb] if not step.waits else 'may run      '} {step.id}  ({told(step.decision.reasons)})"
        )
    others = f"; {prepared.others} other outputs are up to date" if prepared.others else ""
    print(
        f"{count} of {prepared.slices.actions} actions are stale{others}"
        if count
        else f"all {prepared.slices.actions} actions are up to date{others}"
    )
    return 0
