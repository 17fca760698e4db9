"""Find the workspace around a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from megbuild.declare import toml_file
from megbuild.errors import fail

MODELS = "MODELS.toml"
SETTINGS = "pyproject.toml"


def find(start: Path) -> str:
    """The absolute path of the workspace that ``start`` lies in: the nearest folder upwards that says it is one."""
    try:
        start = start.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise fail("MB101", f"there is no folder {start}", "stand in a folder of a workspace") from None
    folder = start if start.is_dir() else start.parent
    lone = ""
    while True:
        if is_workspace(str(folder), str(folder)):
            return str(folder)
        if _is_file(folder / MODELS):
            lone = str(folder / MODELS)
        if folder.parent == folder:
            break
        folder = folder.parent
    if lone:
        raise fail("MB101", f"{lone} belongs to no workspace", 'write "workspace = true" as the first line of it')
    hint = f'write "workspace = true" into a {MODELS}, or a [tool.megbuild] table into {SETTINGS}, at the root of your models'
    raise fail("MB101", f"no workspace was found in {start} or above", hint)


def here(root: str, folder: Path) -> str:
    """The package folder that someone in ``folder`` stands in, for relative labels; the root's when outside."""
    resolved = folder.resolve()
    return "/".join(resolved.relative_to(root).parts) if resolved.is_relative_to(root) else ""


def is_workspace(folder: str, shown: str) -> bool:
    """Whether a file of ``folder`` makes it the root of a workspace. Only files that mention it are parsed."""
    for name, word, keys in ((SETTINGS, b"megbuild", ("tool", "megbuild")), (MODELS, b"workspace", ("workspace",))):
        path = Path(folder, name)
        data = toml_file.read_bytes(str(path), f"{shown}/{name}") if _is_file(path) else b""
        if word in data:
            value: Any = toml_file.parse(data, f"{shown}/{name}")
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, dict) or value is True:
                return True
    return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder above that we may not look into
        return False
