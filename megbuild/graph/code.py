"""The code that an action runs: megbuild's worker, the rule's worker and the toolchain's modules, file by file.

They are inputs like any other, so a changed rule makes its artifacts stale and nothing else has to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import PurePosixPath

from msgspec import Struct

from megbuild.graph import sources
from megbuild.graph.actions import Leaf
from megbuild.store.digests import Digest, digest_bytes
from megbuild.store.files import Files

_DESCRIPTION = {"rule.py", "toolchain.toml", "README.md", "probe.py"}
"""What describes a rule or a toolchain, and is not read by its worker."""
_ELSEWHERE = {"site", "native", "__pycache__"}
"""Folders that are part of the installed environment, which the toolchain's digest covers."""
_WAY = "1"
"""Raised when imports are followed in another way."""
WORKER = "code/megbuild_worker"
"""Where megbuild's own part of every action is staged."""
MODULES = {"train": "train", "expect": "expect", "measure": "measure"}
"""The module of megbuild's part that drives a worker's function; ``make`` drives all others."""


class Code(Struct, frozen=True):
    """megbuild's own code that results depend on, as absolute paths.

    ``worker`` is the folder of what runs inside every toolchain, ``core`` the files of what the core computes itself.
    """

    worker: str
    core: tuple[str, ...]


def core_code(files: Files, code: Code) -> tuple[Leaf, ...]:
    """The code leaves of an action that the core computes itself."""
    found = ((path, PurePosixPath(path).name, files.digest(path)) for path in code.core)
    return tuple(
        Leaf(f"code/core/{name}", digest, f"megbuild/{name}", origin=path, kind="code")
        for path, name, digest in found
        if digest
    )


Remembered = MutableMapping[str, tuple[str, ...]]
"""Which modules are imported from where, by a digest of all that this was found from."""


def worker_code(
    files: Files,
    code: Code,
    rule: str,
    worker: str,
    function: str,
    toolchains: Iterable[str],
    remembered: Remembered,
) -> tuple[Leaf, ...]:
    """The code leaves of an action: the modules that its worker and megbuild's own part of it import, and no others.

    So a change in how megbuild converts does not train a network again. megbuild's part is staged as
    ``code/megbuild_worker``, the rule's folder as ``code/rules/<its name>``, the toolchain's worker-side folders as
    ``code/toolchains/<name>``; what is no Python in the last two is staged whole.

    :param rule: the rule's folder, absolute like the ``toolchains``' folders.
    :param worker: the file in it that holds ``function``.
    :param remembered: spares the parsing of code that was parsed by an earlier build; learns what is parsed now.
    """
    own = f"code/rules/{PurePosixPath(rule).name}"
    places = {own: rule, **{f"code/toolchains/{PurePosixPath(folder).name}": folder for folder in toolchains}}
    there = {
        path: real
        for staged, folder in {WORKER: code.worker, **places}.items()
        for path, real in _folder(files, folder, staged)
    }
    entries = [f"{WORKER}/__main__.py", f"{WORKER}/{MODULES.get(function, 'make')}.py", f"{own}/{worker}"]
    roots = ("code", *(staged for staged in places if staged != own))
    known = _identity(entries, roots, {path: files.digest(real) for path, real in there.items()})
    if known not in remembered:
        remembered[known] = sources.reached(
            entries, roots, there.__contains__, lambda path: files.text(there[path]) if path in there else None
        )
    modules = remembered[known]
    data = {path for path in there if not path.endswith(".py")}
    return tuple(_leaf(files, path, there[path]) for path in sorted({*modules, *data}) if path in there)


def _identity(entries: Iterable[str], roots: Iterable[str], contents: Mapping[str, Digest | None]) -> str:
    """What decides which modules are reached: how they are named, where they lie, and what is in them."""
    told = [_WAY, *entries, "", *roots, "", *(f"{path} {digest}" for path, digest in sorted(contents.items()))]
    return digest_bytes("\n".join(told).encode()).sha256


def _leaf(files: Files, path: str, real: str) -> Leaf:
    digest = files.digest(real)
    assert digest is not None, real  # it was just listed
    said = path.removeprefix("code/").replace("megbuild_worker", "megbuild/worker", 1)
    return Leaf(
        path, digest, said if said.startswith(("rules/", "megbuild/")) else f"rules/{said}", origin=real, kind="code"
    )


def _folder(files: Files, folder: str, staged: str) -> Iterator[tuple[str, str]]:
    """Where each file of a folder is staged, and where it lies."""
    for path in files.glob("**/*", base=folder):
        inside = PurePosixPath(path).relative_to(folder)
        if inside.parts[0] in _ELSEWHERE or "__pycache__" in inside.parts or inside.name in _DESCRIPTION:
            continue
        if not inside.name.startswith("requirements."):
            yield f"{staged}/{inside}", path
