"""Runs tests as somebody who is not root, and who may reach this repository and its Python wherever they lie."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534
REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
set -e
user=$1 stash=$2 closed=$3 shown=$4; shift 4
number=0
for path in $shown; do number=$((number + 1)); mkdir "$stash/$number"; mount --bind "$path" "$stash/$number"; done
for path in $closed; do mount -t tmpfs -o mode=755 none "$path"; done
number=0
for path in $shown; do number=$((number + 1)); mkdir -p "$path"; mount --bind "$stash/$number" "$path"; done
exec setpriv --reuid=$user --regid=$user --clear-groups -- "$@"
"""
"""In a mount namespace of its own: folders that others may not enter are covered by an empty one with what the tests need."""


def closed(paths: list[Path]) -> Iterator[Path]:
    """The folders on the way to these that only their owner may enter, the upper ones only."""
    found: list[Path] = []
    for path in paths:
        for parent in reversed(path.parents):
            if not parent.stat().st_mode & 0o001 and not any(parent.is_relative_to(one) for one in found):
                found.append(parent)
                yield parent


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest with these arguments as that user, with ``folder`` for all that is written."""
    own, stash = folder / "own", folder / "stash"
    for path in (own, stash):
        path.mkdir()
    os.chown(own, NOBODY, NOBODY)
    needed = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)]
    shut = list(closed(needed))
    shown = [path for path in dict.fromkeys(needed) if any(path.is_relative_to(one) for one in shut)]
    names = [" ".join(map(str, paths)) for paths in (shut, shown)]
    pytest = [sys.executable, "-B", "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "--basetemp", str(own / "tests")]  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(own), "TMPDIR": str(own), "MEGBUILD_CACHE": str(own / "cache")}
    command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(NOBODY), str(stash), *names, *pytest, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
