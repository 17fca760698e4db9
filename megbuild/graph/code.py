"""The code that an action runs: megbuild's worker, the rule's worker and the toolchain's modules, file by file.

They are inputs like any other, so a changed rule makes its artifacts stale and nothing else has to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from megbuild.graph.actions import Leaf
from megbuild.store.files import Files

_DESCRIPTION = {"rule.py", "toolchain.toml", "README.md", "probe.py"}
"""What describes a rule or a toolchain, and is not read by its worker."""
_ELSEWHERE = {"site", "native", "__pycache__"}
"""Folders that are part of the installed environment, which the toolchain's digest covers."""


@dataclass(frozen=True)
class Code:
    """megbuild's own code that results depend on, as absolute paths.

    ``worker`` is the folder of what runs inside every toolchain, ``core`` the files of what the core computes itself.
    """

    worker: str
    core: tuple[str, ...]


def core_code(files: Files, code: Code) -> tuple[Leaf, ...]:
    """The code leaves of an action that the core computes itself."""
    found = ((path, PurePosixPath(path).name, files.digest(path)) for path in code.core)
    return tuple(Leaf(f"code/core/{name}", digest, f"megbuild/{name}", origin=path, kind="code") for path, name, digest in found if digest)


def worker_code(files: Files, worker: str, rule: str, toolchains: Iterable[str]) -> tuple[Leaf, ...]:
    """The code leaves of an action; all folders are absolute.

    ``worker`` is staged as ``code/megbuild_worker``, the rule's folder as ``code/rules/<its name>`` and the
    toolchain's worker-side folders as ``code/toolchains/<name>``.
    """
    leaves = list(_folder(files, worker, "code/megbuild_worker", "megbuild/worker"))
    name = PurePosixPath(rule).name
    leaves += _folder(files, rule, f"code/rules/{name}", f"rules/{name}")
    for folder in toolchains:
        name = PurePosixPath(folder).name
        leaves += _folder(files, folder, f"code/toolchains/{name}", f"rules/toolchains/{name}")
    return tuple({leaf.path: leaf for leaf in leaves}.values())


def _folder(files: Files, folder: str, staged: str, said: str) -> Iterable[Leaf]:
    for path in files.glob("**/*", base=folder):
        inside = PurePosixPath(path).relative_to(folder)
        if inside.parts[0] in _ELSEWHERE or "__pycache__" in inside.parts or inside.name in _DESCRIPTION:
            continue
        if inside.name.startswith("requirements."):
            continue
        digest = files.digest(path)
        if digest is not None:
            yield Leaf(f"{staged}/{inside}", digest, f"{said}/{inside}", origin=path, kind="code")
