"""The packages that a lock pins, with the digests of the files that it accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A pinned package; any file whose SHA-256 is listed is accepted for it."""

    name: str
    version: str
    sha256: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def packages(lock: str) -> tuple[Package, ...]:
    """The packages of a requirements lock in its order."""
    found = []
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", block):
            digests = tuple(sorted(set(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))))
            found.append(Package(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2], digests))
    return tuple(found)
