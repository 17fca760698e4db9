"""The uv program: where it is, how it is run, and what its failures mean to a user.

uv creates environments, installs exactly what a lock names, and makes locks. It talks to the package index that the
user configured for it; nothing here names one.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from megbuild.errors import FAILED, MegbuildError, fail
from megbuild.execute.box import kernel

Line = Callable[[str], None]

# Variables that would make uv or Python act on another environment than the one asked for, or wrap messages that are read here.
_DROPPED = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_TARGET", "UV_PREFIX",
            "UV_PROJECT_ENVIRONMENT", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_EXCLUDE_NEWER", "UV_NO_BINARY", "UV_NO_VERIFY_HASHES",
            "UV_REQUIRE_HASHES", "COLUMNS")  # fmt: skip


class UvFailure(Exception):
    """uv ended with an error; ``said`` is its own text, from the word "error" on."""

    def __init__(self, said: str) -> None:
        """``said`` as uv wrote it, with line breaks."""
        super().__init__(said)
        self.said = said


def program() -> str:
    """The path of uv: the one that megbuild depends on, else the one on PATH."""
    try:
        found: str | None = importlib.import_module("uv").find_uv_bin()
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if not found:
        raise fail("MB321", "uv was not found, and toolchains are installed with it", "install it: pip install uv")
    return found


def run(
    arguments: Sequence[str],
    folder: Path,
    *,
    extra: Mapping[str, str] | None = None,
    line: Line | None = None,
    using: str = "",
    cached: bool = False,
) -> str:
    """Run uv in ``folder`` and return its standard output; UvFailure when it does not succeed.

    ``line`` is given each line of its progress as it comes; ``using`` is another uv than :func:`program`. Without a network, what uv has in its cache is enough:
    a run that cannot reach the index is repeated offline before it is called a failure. ``cached`` asks uv's cache first, without the index: for
    what is locked, whose hashes say that it is the same.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _DROPPED} | dict(extra or {})
    command = [using or program(), "--no-progress", "--color", "never", *arguments]
    if cached:
        with suppress(UvFailure):
            return _once(command, folder, environment | {"UV_OFFLINE": "1"}, line)
    try:
        return _once(command, folder, environment, line)
    except UvFailure as failure:
        if not _unreachable(failure.said):
            raise
        try:
            return _once(command, folder, environment | {"UV_OFFLINE": "1"}, line)
        except UvFailure:
            raise failure from None


def _once(command: Sequence[str], folder: Path, environment: Mapping[str, str], line: Line | None) -> str:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=kernel.die_with_parent,  # it would go on writing to what the next build removes
    ) as process:
        assert process.stdout and process.stderr
        said = []
        for text in process.stderr:  # its standard output is empty or small: it cannot fill the pipe meanwhile
            said.append(text)
            if line:
                line(text.strip())
        output = process.stdout.read()
    if process.returncode:
        whole = "".join(said)
        start = re.search(r"^error", whole, re.MULTILINE)
        raise UvFailure(whole[start.start() :] if start else whole)
    return output


def downloads(line: str, what: str, say: Line) -> None:
    """Pass on uv's word of a long download."""
    if match := re.match(r"Downloading (\S+) \((.*)\)", line):
        say(f"{what}: downloading {match[1]} ({match[2].replace('iB', 'B')})")


def _unreachable(said: str) -> bool:
    return "error sending request" in said or "dns error" in said or "Network connectivity is disabled" in said


def explain(failure: UvFailure, what: str) -> MegbuildError:
    """The error that a user sees for a failed installation of ``what``, such as ``toolchain megengine``."""
    said = failure.said
    if _unreachable(said):
        url = re.search(r"(?:Failed to (?:fetch|download)|for url)[: (]+`?(https?://[^/`) ]+)", said)
        return fail(
            "MB322",
            f"{what}: the package index cannot be reached" + (f" ({url[1]})" if url else ""),
            "connect once: installed toolchains need no network; an index of your own is set in uv's configuration (UV_DEFAULT_INDEX)",
            status=FAILED,
        )
    if mismatch := re.search(r"Hash mismatch for `([^`]+)`", said):
        return fail(
            "MB323",
            f"{what}: the index gave another file for {mismatch[1]} than the lock names",
            "the lock or the index was tampered with or damaged; compare the hashes before you lock again",
            status=FAILED,
        )
    if "No space left on device" in said or "os error 28" in said:
        return fail("MB324", f"{what}: the disk is full", "free some space, or put the cache elsewhere", status=FAILED)
    if platform := re.search(r"Because (\S+) has no (?:usable )?wheels?\b.*?(?= and you require|, we can|$)", said):
        return fail(
            "MB325",
            f"{what}: the lock is not for this platform: {platform[0].removeprefix('Because ')}",
            "lock again for the toolchain's Python on Linux x86-64; a package that has only a source archive cannot be taken",
            status=FAILED,
        )
    if missing := re.search(r"none were provided for: (\S+)", said):
        return fail(
            "MB326",
            f"{what}: {missing[1]} has no hash in the lock",
            "make the lock with: doit toolchain lock",
            status=FAILED,
        )
    return fail("MB329", f"{what}: uv failed: {shortened(sentence(said))}", status=FAILED)


def sentence(said: str) -> str:
    """What uv said, as one line without its hints."""
    text = re.sub(r"\n\s*\n?hint: .*", "", said.strip(), flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*cause: ", ": ", text.removeprefix("error: "))
    return re.sub(r"\s+", " ", text)


def shortened(text: str) -> str:
    """A text of at most 400 characters."""
    return text if len(text) <= 400 else text[:397] + "..."
