"""The commit that a release is made from: git is asked, and believed only where the tree is what the commit says."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from megbuild.errors import FAILED, fail

MADE = ("out", ".megbuild", "dist")
"""Folders at the root of a workspace that builds and releases fill."""


@dataclass(frozen=True)
class Commit:
    """A commit, its time in seconds, and what differs from it. ``folder`` is the workspace's place in the repository.

    Nothing of it depends on the clone: remotes, branches and users are not asked for.
    """

    id: str
    time: int
    folder: str
    changed: tuple[str, ...]
    tags: tuple[str, ...]


NONE = Commit("", 0, "", ("the workspace is in no git repository with a commit",), ())


def read(root: Path, needed: Iterable[str]) -> Commit:
    """The commit of a workspace.

    :param needed: workspace-relative files that the build reads; one that is not in the commit counts as changed.
    """
    top = _git(root, "rev-parse", "--show-prefix")
    head = _git(root, "rev-parse", "--verify", "HEAD^{commit}")
    if top is None or head is None:
        return NONE
    ask = [f":(exclude,top){top.strip()}{name}" for name in MADE]
    status = _git(root, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", ".", *ask)
    known = set((_git(root, "ls-files", "-z") or "").split("\0"))
    changed = {_below(entry[3:], top.strip()) for entry in (status or "").split("\0") if entry}
    changed |= {path for path in needed if path not in known}
    when = _git(root, "show", "--no-patch", "--format=%ct", "HEAD") or "0"
    tags = _git(root, "tag", "--points-at", "HEAD") or ""
    return Commit(head.strip(), int(when), top.strip().rstrip("/"), tuple(sorted(changed)), tuple(tags.split()))


def check_out(root: Path, commit: str, to: Path) -> None:
    """Lay out a commit of the workspace's repository in a new folder; raises MB701 where it does not have it."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if not re.fullmatch(
        r"[0-9a-f]{40}|[0-9a-f]{64}", commit
    ):  # it comes from a release: git could take it for an option
        top = None
    if top is None or _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        hint = "stand in a clone of the repository that the release was made from, and fetch"
        raise fail("MB701", f"the commit {commit[:12]} is not in this repository", hint)
    for step in (
        ("clone", "--quiet", "--no-checkout", "--no-hardlinks", top.strip(), str(to)),
        ("-C", str(to), "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit),
    ):
        if _git(root, *step) is None:
            raise fail("MB701", f"the commit {commit[:12]} cannot be checked out", "", status=FAILED)


def _below(path: str, prefix: str) -> str:
    return path.removeprefix(prefix)


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None when it fails or is not there. Variables that point it elsewhere are not handed on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
