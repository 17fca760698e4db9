"""What a workspace declares, checked and frozen: the input of every later stage.

Everything here is plain data. Paths are workspace-relative with forward slashes; a path that leaves the workspace
never gets this far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import CodeType, MappingProxyType
from typing import Any

from msgspec import Struct

from megbuild.declare.limits import UNLIMITED, Limits
from megbuild.errors import Where
from megbuild.rule import Rule, Scalar

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Tensor(Struct, frozen=True):
    """An input or a result: name, shape, dtype, and for inputs the range that synthetic values are drawn from.

    A result's dtype may be empty: whatever the .tm gives is then the contract.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    range: tuple[float, float] = (-1.0, 1.0)


class EntryPoint(Struct, frozen=True):
    """``file.py:function`` of the user's training code; ``file`` is workspace-relative."""

    file: str
    function: str


class Pinned(Struct, frozen=True):
    """A delivered file with the digest that it must have."""

    path: str
    sha256: str


class Thresholds(Struct, frozen=True):
    """What a verdict asks for; None asks nothing. Meanings are those of :mod:`megbuild.verify.judge`."""

    cosine: float | None = None
    scale: float | None = None
    max_abs: float | None = None
    sqnr_db: float | None = None
    top1: float | None = None
    top5: float | None = None
    accuracy: float | None = None
    accuracy_drop: float | None = None


class Budget(Struct, frozen=True):
    """Limits that are not numeric closeness: the artifact's size in MB (10^6 bytes)."""

    size_mb: float | None = None


class Hardware(Struct, frozen=True):
    """A named preset of a device: the format it wants and the options it asks for."""

    name: str
    format: str
    options: Mapping[str, Scalar] = _EMPTY
    family: str = ""
    summary: str = ""
    runs_here: bool = True
    """False when its files cannot be run on the build machine, so that they end as "not run", never as "pass"."""
    source: str = ""
    """Where this knowledge comes from."""
    where: Where | None = None


class Output(Struct, frozen=True):
    """One product of a model for one hardware. ``options`` holds what the user set, unmerged with presets."""

    name: str
    hardware: str
    options: Mapping[str, Scalar] = _EMPTY
    verify: Thresholds = Thresholds()
    budget: Budget = Budget()
    via: tuple[str, ...] = ()
    direct: bool = False
    embed: str = ""
    """The format that the hardware's own artifact is wrapped in; empty for none."""
    where: Where | None = None
    places: Mapping[str, Where] = _EMPTY
    """Where each option was written, for the errors that only a road can find."""
    inherited: Mapping[str, Scalar] = _EMPTY
    """Options of the ``[defaults]`` above it. They hold where the road has a rule that takes them and are silent
    elsewhere; the hardware's and the output's own options win over them."""


class Model(Struct, frozen=True):
    """A declared network. Exactly one of ``source``, ``archive`` and ``onnx`` is set."""

    package: str
    name: str
    inputs: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    outputs: tuple[Output, ...]
    source: EntryPoint | None = None
    train: EntryPoint | None = None
    archive: Pinned | None = None
    onnx: Pinned | None = None
    data: tuple[str, ...] = ()
    environment: str = ""
    samples: tuple[str, ...] = ()
    """The globs of the model's real samples, workspace-relative."""
    labels: str = ""
    """A .npy with the class index of each sample, in the order of the sorted sample files."""
    calibration: tuple[str, ...] = ()
    hash: str = "meaning"
    """``meaning`` stages the canonical form of training code, ``bytes`` the file as it is."""
    where: Where | None = None
    limits: Limits = UNLIMITED
    """What one of its actions may use."""
    searched: tuple[str, ...] = ()
    """The folders whose names decided what its patterns mean, workspace-relative."""

    @property
    def label(self) -> str:
        """``//package:name``."""
        return f"//{self.package}:{self.name}"


class Sdk(Struct, frozen=True):
    """A vendor's software that cannot be locked, as it was found on this machine.

    ``trouble`` says why it cannot be used; ``folder`` and ``version`` are empty then. ``install`` tells how to get it.
    """

    name: str
    variables: tuple[str, ...]
    install: str
    folder: str = ""
    version: str = ""
    trouble: str = ""
    read: tuple[str, ...] = ()
    """Absolute paths of what was looked at to find it and its version; a folder among them counts by the names in it."""


class Toolchain(Struct, frozen=True):
    """A locked environment, described: what decides its digest, not where it is installed.

    ``locks`` are the requirement files with hashes, in install order (a toolchain that extends another has the
    other's first); ``site`` are folders of modules added to the environment; ``code`` are the folders of worker-side
    modules staged into its actions. All paths are absolute.
    """

    name: str
    digest: str
    python: str
    folder: str
    locks: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    environment: Mapping[str, str] = _EMPTY
    settings: Mapping[str, Any] = _EMPTY
    summary: str = ""
    limits: Limits = UNLIMITED
    """What one action in it may use, where the model says nothing else. No part of its digest, nor of any key."""
    sdks: tuple[Sdk, ...] = ()
    """What its workers need beside it. They are no part of its digest; their versions enter the keys of its actions."""


class InstalledRule(Struct, frozen=True):
    """A rule with the folder it came from; ``name`` is the folder's name (``folder/name`` when it has several)."""

    name: str
    rule: Rule
    folder: str
    origin: str = "megbuild"
    """``megbuild`` or the workspace-relative folder it was found in."""


class Release(Struct, frozen=True):
    """A declared release: which labels one bundle holds. Label patterns are relative to ``package``.

    ``version`` is the version itself, ``file:PATH`` (the first line of that file) or ``tag:PREFIX`` (what follows the
    prefix in a git tag of the commit); empty where the command line must say it. ``notes`` and ``licences`` are
    workspace-relative paths, the latter with globs. ``repository`` is where the receiver finds the sources.
    """

    package: str
    name: str
    labels: tuple[str, ...]
    version: str = ""
    notes: str = ""
    licences: tuple[str, ...] = ()
    allow_not_run: tuple[str, ...] = ()
    """Patterns of outputs that may be released though the build machine cannot run them."""
    repository: str = ""
    where: Where | None = None


class Workspace(Struct, frozen=True):
    """Everything declared, in one frozen value."""

    root: str
    default: tuple[str, ...]
    models: Sequence[Model]
    rules: tuple[InstalledRule, ...]
    hardware: Mapping[str, Hardware]
    toolchains: Mapping[str, Toolchain]
    releases: tuple[Release, ...] = ()
    trusted: Mapping[str, tuple[str, ...]] = _EMPTY
    """The reviewed names of MODELS.trust that a pickle may look up, by the SHA-256 of its file."""
    read: tuple[str, ...] = ()
    """Absolute paths of every file and folder that was read to make this value, but for the models' own files."""
    listed: tuple[str, ...] = ()
    """Absolute paths of the folders in which packages were searched."""
    code: Mapping[str, CodeType] = _EMPTY
    """The compiled ``rule.py`` of each rule's folder: a rule holds functions, and is kept as its code."""
