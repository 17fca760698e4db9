"""Finding a Python interpreter of a minor version, to make a toolchain's environment from.

A candidate counts only when it runs and says itself that it is CPython of that version on x86-64: launchers such as
pyenv's shims exist on PATH for versions that they then refuse to start.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from megbuild.errors import FAILED, MegbuildError, fail
from megbuild.execute import uv

_QUESTION = (
    "import json, platform, struct, sys; print(json.dumps([sys.implementation.name, list(sys.version_info[:2]), "
    "struct.calcsize('P') * 8, platform.machine(), getattr(sys, '_base_executable', '') or sys.executable]))"
)


def find(minor: str, say: Callable[[str], None] = lambda line: None) -> str:
    """The path of a CPython ``minor``, such as ``3.9``.

    Looks at the running interpreter, PATH, pyenv's versions and the interpreters that uv manages, in this order; when
    there is none, uv is asked to download one. Raises MB320 when that fails too.
    """
    for candidate in _candidates(minor):
        if found := _confirmed(candidate, minor):
            return found
    say(f"no Python {minor} on this machine: uv downloads one")
    try:
        uv.run(["python", "install", "--no-bin", minor], Path.cwd())
        found = uv.run(["python", "find", "--managed-python", "--no-project", minor], Path.cwd()).strip()
    except (uv.UvFailure, MegbuildError):
        found = ""
    if confirmed := found and _confirmed(found, minor):
        return confirmed
    raise fail(
        "MB320",
        f"no Python {minor} was found, and uv could not download one",
        f"install it in one of three ways: your system's package python{minor}, `pyenv install {minor}`, "
        f"or `uv python install {minor}` with a network connection",
        status=FAILED,
    )


def _candidates(minor: str) -> Iterator[str]:
    """Paths that may be an interpreter of that version, the cheapest to ask first."""
    if minor == "{}.{}".format(*sys.version_info):
        yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in os.get_exec_path():
        path = Path(folder, f"python{minor}")
        if os.access(path, os.X_OK) and path.parent != pyenv / "shims":  # they take long to lead to the versions below
            yield str(path)
    yield from (str(folder / "bin" / "python") for folder in _newest_first(pyenv / "versions", minor))
    try:
        yield uv.run(
            ["python", "find", "--managed-python", "--no-python-downloads", "--no-project", minor], Path.cwd()
        ).strip()
    except (uv.UvFailure, MegbuildError):
        return


def _newest_first(versions: Path, minor: str) -> list[Path]:
    """Folders named ``<minor>.<patch>``, the highest patch first."""
    pattern = re.compile(re.escape(minor) + r"\.(\d+)$")
    named = [(int(match[1]), folder) for folder in versions.glob(f"{minor}.*") if (match := pattern.match(folder.name))]
    return [folder for _, folder in sorted(named, reverse=True)]


def _confirmed(candidate: str, minor: str) -> str | None:
    """The interpreter's own path as it reports it, or None when it does not run or is another one."""
    try:
        answer = subprocess.run(
            [candidate, "-I", "-S", "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
        implementation, version, bits, machine, path = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if (implementation, version, bits, machine) == ("cpython", [int(part) for part in minor.split(".")], 64, "x86_64"):
        return str(path)
    return None
