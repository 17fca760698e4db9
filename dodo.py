"""doit's view of this workspace: every model's label as a task, and the project's own checks."""

import os
import subprocess
import sys
import time
from pathlib import Path

from doit.exceptions import TaskFailed

from megbuild.cli.tasks import label_tasks

DOIT_CONFIG = {"default_tasks": ["test"], "verbosity": 2}

BIN = Path(sys.executable).parent
STEPS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "layers": ["lint-imports"],
    "tests": ["pytest", "--numprocesses", "2", "--dist", "worksteal"],
}


def task_models():
    """every output of every model, by its label"""
    yield from label_tasks()


def task_test():
    """format, lint, types, layers and all tests, with the real tools; or the named ones of these steps"""
    return {"actions": [_check], "pos_arg": "steps", "io": {"capture": False}}


def _check(steps):
    """Run the steps, all of them also after one that failed, so that one run tells everything."""
    if unknown := [step for step in steps if step not in STEPS]:
        print(f"doit test has no step {unknown[0]}; it has {', '.join(STEPS)}", file=sys.stderr)
        return TaskFailed("", report=False)
    results = {step: _passes(step) for step in steps or STEPS}
    _heading(", ".join(f"{step} {'passed' if passed else 'FAILED'}" for step, passed in results.items()))
    return all(results.values()) or TaskFailed("a step failed", report=False)


def _passes(step):
    """Run one step in this environment, whatever is on PATH; its output goes straight where ours goes."""
    command = STEPS[step]
    _heading(f"{step}: {' '.join(command)}")
    begun = time.monotonic()
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    status = subprocess.run([BIN / command[0], *command[1:]], env=environment, stdin=subprocess.DEVNULL).returncode
    print(
        f"-- {step}: {'passed' if status == 0 else f'FAILED (exit status {status})'}, {time.monotonic() - begun:.1f} s"
    )
    return status == 0


def _heading(text):
    print(f"\n== {text}", flush=True)
