"""Find the vendors' SDKs that cannot be locked: where the variables that the vendors document lead.

A toolchain says which ones its workers drive (``[[sdk]]`` in toolchain.toml). One that is not there is no error as
long as no output that is asked for needs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from megbuild.declare.models import Sdk

_VERSION = re.compile(r"(?<![\w-])version\W*\bv?(\d[\w.+-]*)", re.IGNORECASE)


class SdkTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[sdk]]`` of a toolchain.toml.

    ``variables`` name its folder; the first that is set counts. ``needs`` are files and folders that must be there.
    ``version`` are text files that may hold its version, as globs; the first that does counts. ``install`` is the
    sentence that tells a user how to get it.
    """

    name: str
    variables: tuple[str, ...]
    needs: tuple[str, ...]
    version: tuple[str, ...]
    install: str


def find(wanted: SdkTable, environment: Mapping[str, str] = os.environ) -> Sdk:
    """The SDK as it is on this machine; with a ``trouble`` when it cannot be used."""
    variable = next((name for name in wanted.variables if environment.get(name)), "")
    sdk = Sdk(wanted.name, wanted.variables, wanted.install)
    if not variable:
        one = len(wanted.variables) == 1
        trouble = f"{wanted.variables[0]} is not set" if one else f"none of {', '.join(wanted.variables)} is set"
        return replace(sdk, trouble=trouble)
    folder = Path(environment[variable])
    given = f"{variable} = {folder}"
    if not folder.is_absolute() or not folder.is_dir():
        return replace(sdk, trouble=f"{given} is no folder")
    missing = next((name for name in wanted.needs if not (folder / name).exists()), "")
    if missing:
        return replace(sdk, trouble=f"{given} has no {missing}")
    version = next(_versions(folder, wanted.version), "")
    looked = [folder / name for name in (*wanted.needs, *wanted.version)]
    read = tuple(str(path.parent if _is_glob(path.name) else path) for path in map(_above_globs, looked))
    if not version:
        return replace(sdk, trouble=f"{given} does not say its version in {' or '.join(wanted.version)}")
    return replace(sdk, folder=str(folder), version=version, read=tuple(dict.fromkeys(read)))


def roots(sdk: Sdk) -> tuple[str, ...]:
    """The folders that a process reads which uses it: its own, and those that links in it lead to."""
    folder = Path(sdk.folder)
    inside = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_symlink())]
    targets = [os.path.realpath(entry) for entry in inside]
    outside = [target for target in targets if Path(target).is_dir() and not Path(target).is_relative_to(folder)]
    return tuple(dict.fromkeys([str(folder), *outside]))


def _is_glob(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _above_globs(path: Path) -> Path:
    """The path up to and with its first part that is a glob."""
    for number, part in enumerate(path.parts):
        if _is_glob(part):
            return Path(*path.parts[: number + 1])
    return path


def _versions(folder: Path, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if found := _VERSION.search(path.read_text("utf-8", "replace")[:4096]):
                yield found[1]
