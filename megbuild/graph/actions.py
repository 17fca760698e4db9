"""An action: one step to run, frozen, with everything that decides its result.

Paths inside an action are relative to its staged folder. The action sees ``request.json``, ``code/`` (worker-side
modules) and ``in/`` (what it reads); it writes ``out/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from megbuild.declare.limits import UNLIMITED, Limits
from megbuild.rule import Scalar
from megbuild.store.digests import Digest as Digest

CORE = ""
"""The toolchain of the steps that the core computes itself."""

_EMPTY: Mapping[str, str] = MappingProxyType({})


class Leaf(Struct, frozen=True):
    """Something that no action makes: a file of the workspace, of a rule, or a text made from them.

    ``path`` is where the action finds it. ``said`` is how a reason names it. Its bytes are ``content`` when given,
    else those of the file ``origin``, which must still have ``digest`` when they are staged.
    """

    path: str
    digest: Digest
    said: str
    origin: str = ""
    content: bytes | None = None
    kind: str = "file"
    """``file`` (the user's), ``code`` (of a rule or of megbuild), ``request``."""
    seen: str = ""
    """For a file staged in canonical form: the digest of the bytes as the user wrote them."""


class Product(Struct, frozen=True):
    """An output of another action: all files at or under ``output`` of ``action`` appear at or under ``path``."""

    path: str
    action: str
    output: str


class Action(Struct, frozen=True):
    """One step. ``id`` is its doit task name, ``//package:model#step``.

    ``toolchain`` names an environment of the workspace; empty means that the core itself computes the result, in a
    few microseconds (a verdict). ``options`` are what a reason can name; they stand in the request as well.
    ``outputs`` are the files or folders that it must make, under ``out/``; anything else that it leaves is an error.
    """

    id: str
    step: str
    summary: str
    model: str
    toolchain: str
    inputs: tuple[Leaf | Product, ...]
    outputs: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = _EMPTY
    options: Mapping[str, Scalar] = _EMPTY
    makes: str = ""
    """The format of the artifact that it makes; empty for measurements and verdicts."""
    artifact: tuple[str, ...] = ()
    """The names of the artifact's files, the main one first; they stand in ``out/artifact/``."""

    limits: Limits = UNLIMITED
    """What it may use. It decides whether there is a result and not which one, so no key covers it."""

    device: str = ""
    """Something that there is one of; actions that name the same one never run together."""

    secrets: Mapping[str, str] = _EMPTY
    """Keys that its worker gets, by the option that names them, as references. No part of the key, and only for runs on this
    machine: ``options`` hold a commitment to each."""

    @property
    def products(self) -> tuple[Product, ...]:
        """The inputs that other actions make."""
        return tuple(entry for entry in self.inputs if isinstance(entry, Product))


Outputs = Mapping[str, Digest]
"""What an action made: every file below ``out/``, by its path there, sorted."""
