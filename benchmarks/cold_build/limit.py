"""Lays out the actions of a build for ``loop.py``, split evenly over the cores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from megbuild.execute.staging import stage
from megbuild.graph.actions import CORE, Leaf, Product
from megbuild.graph.fingerprint import Fingerprint
from megbuild.pipeline import Asked, prepare


def plans(root: Path, scratch: Path, cores: int, preload: list[str]) -> list[Path]:
    """One plan for each core; models are dealt out in turns, so that both kinds of network are in every share."""
    prepared = prepare(Asked((), root), print)
    models = list(dict.fromkeys(aim.target.model.label for aim in prepared.graph.aims))
    shares = [models[core::cores] for core in range(cores)]
    found = []
    for core, share in enumerate(shares):
        place = scratch / f"share{core}"
        actions = [a for a in prepared.graph.actions.values() if a.model in share and a.toolchain != CORE]
        folders = {action.id: place / str(number) for number, action in enumerate(actions)}
        for action in actions:
            leaves = {entry.path: entry.digest for entry in action.inputs if isinstance(entry, Leaf)}
            stage(action, Fingerprint("", {}, leaves), prepared.memory.content, folders[action.id])
        told = {
            "preload": preload,
            "code": _code(place / "code", list(folders.values())),
            "actions": [
                {
                    "folder": str(folders[action.id]),
                    "products": [
                        (str(folders[entry.action] / "out" / entry.output), entry.path)
                        for entry in action.inputs
                        if isinstance(entry, Product)
                    ],
                }
                for action in actions
            ],
        }
        path = scratch / f"plan{core}.json"
        path.write_text(json.dumps(told))
        found.append(path)
    return found


def _code(place: Path, folders: Iterable[Path]) -> list[str]:
    """The staged code of all actions in one folder; what Python is to look in."""
    for folder in folders:
        shutil.copytree(folder / "code", place, dirs_exist_ok=True)
        for path in place.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    return [str(place), *map(str, sorted((place / "toolchains").iterdir()))]
