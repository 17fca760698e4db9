"""Where megbuild keeps what is not the user's: the folders of a workspace and of a user."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "MEGBUILD_CACHE"
"""The environment variable that moves the per-user cache (toolchains and store)."""


def cache_folder() -> Path:
    """The cache that all workspaces of this user share."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("megbuild", appauthor=False)


def private_folder(root: Path) -> Path:
    """The workspace's own folder for state, journal, logs and running actions."""
    return root / ".megbuild"
