"""Machines whose kernel has less: what still holds there, what is said of it, and that it can be refused.

The kernel's refusals are real: a filter of the test's own lets the system calls fail, for the box and for nobody else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lacking import lack

SCRIPT = """
import json, sys
sys.path.insert(0, {root!r})
from pathlib import Path
import pytest
from megbuild.errors import MegbuildError
from tests.execute.conftest import boxes
from tests.execute.test_box import TRY
box = boxes(Path({folder!r}), pytest.MonkeyPatch(), {preload!r})
code = TRY + 'import ctypes, json, os, signal, socket\\nlibc = ctypes.CDLL(None, use_errno=True)\\n'
code += 'print(json.dumps([attempt(lambda: eval(what)) for what in ' + repr({attempts!r}) + ']))'
said = [kind for kind, _ in json.loads(box.says(code, in__a='a').splitlines()[-1])]
box.says('')
warned = list(box.warned)
box.runner.require_sandbox = True
try:
    box.says('')
    refused = ''
except MegbuildError as error:
    refused = str(error)
box.runner.stop()
print(json.dumps([said, warned, refused]))
"""
READ, CHANGE, CONNECT, CALL = ATTEMPTS = [
    "open('/etc/passwd').read(1)",
    "open('in/a', 'w')",
    "socket.create_connection(('127.0.0.1', 9), 2)",
    "libc.syscall(250, 0, -3, 1) >= 0 or 1 / 0",  # keyctl, which the filter alone refuses
]
NO_NAMESPACES = "because namespaces cannot be made: clone: Operation not permitted"
MISSING = {
    ("namespaces",): (f"only Landlock confines actions here, {NO_NAMESPACES}", {READ, CHANGE, CONNECT, CALL}),
    ("mounts",): (
        "only Landlock confines actions here, because namespaces cannot be made: mount none on /: Permission denied",
        {READ, CHANGE, CONNECT, CALL},
    ),
    ("landlock",): ("actions are confined without Landlock here, which this kernel does not have", {READ, CHANGE, CONNECT, CALL}),
    ("seccomp",): (
        "actions are confined without a filter of system calls here, which this kernel does not have",
        {READ, CHANGE, CONNECT},
    ),
    ("landlock", "seccomp"): (
        "actions are confined without Landlock and a filter of system calls here, which this kernel does not have",
        {READ, CHANGE, CONNECT},
    ),
    ("namespaces", "landlock"): (f"nothing confines actions here, {NO_NAMESPACES}", {CONNECT, CALL}),
    ("namespaces", "seccomp"): (
        f"only Landlock confines actions here, without a filter of system calls, {NO_NAMESPACES}",
        {READ, CHANGE, CONNECT},
    ),
    ("namespaces", "landlock", "seccomp"): (f"nothing confines actions here, without a filter of system calls, {NO_NAMESPACES}", set()),
}  # fmt: skip
"""What is missing; the one warning; which attempts are refused nevertheless. Without any of them nothing is tried that could do
harm: a password file is read, and an input is changed, which is noticed."""


def run(tmp_path: Path, missing: tuple[str, ...], attempts: list[str], preload: list[str]) -> list[Any]:
    script = SCRIPT.format(
        root=str(Path(__file__).parents[2]), folder=str(tmp_path), preload=preload, attempts=attempts
    )
    done = subprocess.run(
        [sys.executable, "-c", script], preexec_fn=lambda: lack(*missing), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("preload", [["json"], []], ids=["warm", "fresh"])
@pytest.mark.parametrize("missing", MISSING, ids="+".join)
def test_one_warning_and_what_is_left_holds(tmp_path: Path, missing: tuple[str, ...], preload: list[str]) -> None:
    sentence, refused = MISSING[missing]
    attempts = [what for what in ATTEMPTS if what in refused or what != CHANGE]  # a change would fail the action
    said, warned, error = run(tmp_path, missing, attempts, preload)
    outcome = dict(zip(attempts, said, strict=True))
    for what, kind in outcome.items():
        if what in refused:
            assert kind != "did", what
            assert what != CONNECT or kind != "ConnectionRefusedError" or "namespaces" not in missing
        elif what == READ:
            assert kind == "did"
    assert warned == [f"warning: {sentence} [MB407]"]
    assert error.startswith(f"{sentence} [MB407]\n  hint: leave out --require-sandbox")


def test_a_complete_machine_has_no_warning(tmp_path: Path) -> None:
    """Else those above would say nothing."""
    said, warned, error = run(tmp_path, (), ATTEMPTS, ["json"])
    assert "did" not in said
    assert (warned, error) == ([], "")
