"""toolchain.toml -> Toolchain: what a locked environment consists of, and its digest.

A toolchain's folder holds

- ``toolchain.toml``, read here;
- ``requirements.lock``: every package with its hashes (``requirements.in`` is what the lock was made from);
- ``site/``: our own modules that go into the environment's site-packages, such as stand-ins;
- ``probe.py``: a small conversion that shows after installation that the environment behaves as locked;
- flat ``*.py`` modules beside ``probe.py``: code that the toolchain's workers import.

The digest covers what is installed: the locks, the modules of ``site/``, what is built, the Python version and the
platform. Environment variables are no part of it: they are a part of every action by themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from megbuild.declare import toml_file
from megbuild.declare.complaints import named, take
from megbuild.declare.hints import did_you_mean, quoted
from megbuild.declare.limits import UNLIMITED, Limits
from megbuild.declare.models import Toolchain
from megbuild.declare.positions import Place
from megbuild.declare.sdks import SdkTable, find
from megbuild.errors import MOST, Location, MegbuildError, Problem, fail

PLATFORM = "linux-x86_64"
"""The one platform that the locks are made for."""

SAME_EVERYWHERE = {
    "DNNL_MAX_CPU_ISA": "AVX2",  # oneDNN, by its two names
    "MKL_CBWR": "COMPATIBLE",  # the one mode of MKL whose results are the same on processors of all makers
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",  # NumPy's own loops
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",  # the BLAS of NumPy
}
"""Variables of every action, unless its toolchain says otherwise: numeric libraries do not choose their instructions by
the processor that they find, so that results are the same on all that have AVX2 and FMA (docs/adr/0027)."""

_LAYOUT = "megbuild toolchain 1"
"""Raised when environments are put together in another way: every digest changes with it."""


class Native(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A C source compiled into the environment by the compiler that ``native/requirements.lock`` pins.

    ``source`` is absolute once described; ``output`` is relative to the environment (``sys.prefix``).
    """

    source: str
    output: str
    arguments: tuple[str, ...] = ()


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``expect`` is the line that ``probe.py`` prints; ``script`` is absolute once described."""

    expect: str
    script: str = ""


class Installation(msgspec.Struct, frozen=True):
    """How a toolchain is put together beyond its locks; kept as plain data in ``Toolchain.settings["installation"]``.

    ``build`` names packages that exist only as source archives, each with the distutils configuration for its build.
    ``native_lock`` pins the compiler; it is used during the installation and does not stay. ``removed`` are patterns of
    files below site-packages that do not stay either.
    """

    native: tuple[Native, ...] = ()
    native_lock: str = ""
    removed: tuple[str, ...] = ()
    build: dict[str, dict[str, dict[str, str]]] = {}
    probe: Probe | None = None
    provides: tuple[str, ...] = ()


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """toolchain.toml as written.

    ``python`` is the minor version, ``extends`` another toolchain whose locks come first. ``left_out`` are packages
    that metadata asks for and that its lock leaves out, ``removed`` files of packages (below site-packages, with
    wildcards) that are in the way; ``provides`` those that packages of a training environment find
    satisfied whatever they ask for. ``environment`` holds the variables of its actions, ``settings`` what the runner
    of its actions reads, ``limits`` what an action may use. ``sdk`` lists what a user must get from a vendor. The other tables are those of
    :class:`Installation`.
    """

    python: str
    summary: str = ""
    extends: str = ""
    provides: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    settings: dict[str, Any] = {}
    limits: Limits = UNLIMITED
    sdk: tuple[SdkTable, ...] = ()
    native: tuple[Native, ...] = ()
    build: dict[str, dict[str, dict[str, str]]] = {}
    probe: Probe | None = None


def folders(rules: Path) -> dict[str, Path]:
    """The toolchains of a rules folder, by name: the shared ones and those in a rule's own folder."""
    found = sorted([*rules.glob("toolchains/*/toolchain.toml"), *rules.glob("*/toolchain.toml")])
    return {path.parent.name: path.parent for path in found}


def describe_all(known: Mapping[str, Path]) -> Mapping[str, Toolchain]:
    """Every known toolchain; the problems of all of them are raised together."""
    described, problems = {}, []
    for name in sorted(known):
        try:
            described[name] = describe(name, known)
        except MegbuildError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise MegbuildError(tuple(problems))
    return MappingProxyType(described)


def describe(name: str, known: Mapping[str, Path]) -> Toolchain:
    """The toolchain ``name``; ``known`` gives the folder of each toolchain that it may extend."""
    chain = list(_chain(name, known))
    folder, top = chain[0]
    locks, site, code = [], [], []
    environment = dict(SAME_EVERYWHERE)
    settings: dict[str, Any] = {}
    native: list[Native] = []
    build: dict[str, dict[str, dict[str, str]]] = {}
    provides: list[str] = []
    removed: list[str] = []
    sdks: list[SdkTable] = []
    limits = UNLIMITED
    for part, file in reversed(chain):  # what is extended comes first
        locks.append(_existing(part, "requirements.lock"))
        site += [str(part / "site")] if (part / "site").is_dir() else []
        code += [str(part)] if _has_modules(part) else []
        native += [Native(_existing(part, entry.source), entry.output, entry.arguments) for entry in file.native]
        build |= file.build
        sdks += file.sdk
        provides += file.provides
        removed += file.removed
        environment |= file.environment
        settings |= file.settings
        limits = file.limits.over(limits)
    installation = Installation(
        native=tuple(native),
        native_lock=_native_lock(chain) if native else "",
        removed=tuple(removed),
        build=build,
        probe=top.probe and Probe(top.probe.expect, _existing(folder, "probe.py")),
        provides=tuple(provides),
    )
    described = Toolchain(
        name=name,
        digest="",
        python=top.python,
        folder=str(folder),
        locks=tuple(locks),
        site=tuple(site),
        code=tuple(code),
        environment=MappingProxyType(dict(sorted(environment.items()))),
        settings=MappingProxyType(settings | {"installation": msgspec.to_builtins(installation)}),
        summary=top.summary,
        limits=limits,
        sdks=tuple(map(find, sdks)),
    )
    return replace(described, digest=digest(described))


def with_environment(toolchain: Toolchain, lock: Path, name: str = "") -> Toolchain:
    """The toolchain with the packages of a user's lock on top.

    ``name`` tells it apart; by default it is the lock's folder and the start of the digest, since two packages may have
    folders of one name.

    Every requirement of the lock must be pinned with hashes, and must agree with the toolchain's own pins.
    """
    if not lock.is_file():
        raise fail(
            "MB303",
            "this lock does not exist",
            f"make it: doit toolchain lock {lock.with_suffix('.in').name}",
            Location(str(lock)),
        )
    own = pins(*(Path(path) for path in toolchain.locks))
    problems = []
    for package, (version, line) in _requirements(lock).items():
        where = Location(str(lock), line)
        if not version:
            problems.append(
                Problem(
                    "MB305",
                    f"{_short(package)} is not pinned with == and hashes",
                    "make the lock with: doit toolchain lock",
                    where,
                )
            )
        elif own.get(package, version) != version:
            problems.append(
                Problem(
                    "MB306",
                    f"{_short(package)}=={_short(version)} does not go with {toolchain.name}, which has {package}=={own[package]}",
                    "make the lock again: doit toolchain lock",
                    where,
                )
            )
    if problems:
        raise MegbuildError(tuple(problems[:MOST]))
    extended = replace(
        toolchain,
        locks=(*toolchain.locks, str(lock)),
        summary=f"{toolchain.name} with the packages of {lock.name}",
    )
    found = digest(extended)
    return replace(
        extended, digest=found, name=f"{toolchain.name}+{name or f'{lock.absolute().parent.name}.{found[:8]}'}"
    )


def installation(toolchain: Toolchain) -> Installation:
    """How it is put together beyond its locks."""
    return msgspec.convert(toolchain.settings.get("installation", {}), Installation)


def digest(toolchain: Toolchain) -> str:
    """SHA-256 over a canonical text of everything that is installed, read from disk now."""
    built = installation(toolchain)
    parts: list[Any] = [_LAYOUT, toolchain.python, PLATFORM]
    parts += [["lock", _sha256(Path(path))] for path in toolchain.locks]
    for folder in toolchain.site:
        modules = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
        parts += [["site", path.relative_to(folder).as_posix(), _sha256(path)] for path in modules]
    parts += [["build", package, options] for package, options in sorted(built.build.items())]
    parts += [["native", _sha256(Path(entry.source)), entry.output, list(entry.arguments)] for entry in built.native]
    parts += [["removed", pattern] for pattern in built.removed]
    if built.native_lock:
        parts.append(["compiler", _sha256(Path(built.native_lock))])
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def pins(*locks: Path) -> dict[str, str]:
    """The version of every package that locks pin, by its normalised name."""
    return {package: version for lock in locks for package, (version, _) in _requirements(lock).items()}


def left_out(name: str, known: Mapping[str, Path]) -> tuple[str, ...]:
    """Packages that its lock leaves out though metadata asks for them, those of what it extends included."""
    return tuple(package for _, file in _chain(name, known) for package in file.left_out)


def normalised(package: str) -> str:
    """A package's name as locks spell it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _short(text: str) -> str:
    """A word of a lock within a message."""
    return text if text.isprintable() and len(text) <= 80 else quoted(text)


def _requirements(lock: Path) -> dict[str, tuple[str, int]]:
    """Package -> (version, line) of a lock; the version is empty for what is not ``name==version`` with a hash."""
    found: dict[str, tuple[str, int]] = {}
    lines = toml_file.read_text(str(lock), str(lock)).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line[0] in "# \t":
            continue
        match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", line)
        following = lines[number] if number < len(lines) else ""
        hashed = "--hash=sha256:" in line or "--hash=sha256:" in following
        found[normalised(match[1]) if match else line.strip()] = (match[2] if match and hashed else "", number)
    return found


def _chain(name: str, known: Mapping[str, Path]) -> Iterator[tuple[Path, File]]:
    """The toolchain's folder and file, then those of what it extends."""
    seen: list[str] = []
    asked_in: Place | None = None
    python = ""
    while name:
        if name not in known:
            raise fail("MB304", f"there is no toolchain {quoted(name)}", did_you_mean(name, sorted(known)), asked_in)
        if name in seen:
            raise fail("MB304", "toolchains extend each other in a circle: " + " -> ".join([*seen, name]), "", asked_in)
        seen.append(name)
        path = known[name] / "toolchain.toml"
        file = read(path)
        if python and file.python != python:
            raise fail(
                "MB304",
                f"it has Python {python} and extends {name}, which has Python {file.python}",
                "both need the same",
                asked_in,
            )
        yield known[name], file
        asked_in, python = Place(str(path), str(path), ("extends",)), file.python
        name = file.extends


def read(path: Path) -> File:
    """A toolchain.toml as it is written, checked."""
    place = Place(str(path), str(path))
    problems: list[Problem] = []
    file = take(toml_file.read(str(path), str(path)), File, place, problems)
    if file and not problems and not re.fullmatch(r"3\.[0-9]{1,3}", file.python):
        problems.append(
            Problem(
                "MB302",
                f"python cannot be {quoted(file.python)}",
                'write a minor version: python = "3.9"',
                place.at("python"),
            )
        )
    if file and not problems:
        problems += _complaints(file, place)
    if problems or file is None:
        raise MegbuildError(tuple(problems))
    return file


def _complaints(file: File, place: Place) -> Iterator[Problem]:
    """What is wrong with the values of a toolchain.toml: paths that leave their folder, and what no process can take."""
    paths: list[tuple[str, Place]] = []
    for number, native in enumerate(file.native):
        paths += [(getattr(native, key), place.at("native", number, key)) for key in ("source", "output")]
    paths += [(pattern, place.at("removed", number)) for number, pattern in enumerate(file.removed)]
    for number, sdk in enumerate(file.sdk):
        texts = {"needs": sdk.needs, "version": sdk.version}
        paths += [(text, place.at("sdk", number, key, at)) for key in texts for at, text in enumerate(texts[key])]
        if not sdk.variables:
            yield Problem(
                "MB140", "an SDK without a variable cannot be found", "", place.at("sdk", number, "variables")
            )
    for text, at in paths:
        parts = text.split("/")
        if not text or text.startswith("/") or ".." in parts or not text.isprintable() or not any(map(_is_name, parts)):
            message = f"{named(at.keys)} = {quoted(text)} is no path below its folder"
            yield Problem("MB110", message, 'write a relative path without ".."', at)
    for name, value in file.environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in value:
            message = f"no process can have the variable {quoted(name)} with this value"
            yield Problem("MB140", message, "", place.key_of("environment", name))
    preload = file.settings.get("preload", [])
    if not isinstance(preload, list) or not all(isinstance(name, str) for name in preload):
        yield Problem(
            "MB140", "preload must be a list of modules", 'preload = ["numpy"]', place.at("settings", "preload")
        )


def _is_name(part: str) -> bool:
    return part not in ("", ".")


def _existing(folder: Path, name: str) -> str:
    """The absolute path of a file that toolchain.toml implies."""
    path = folder / name
    if not path.is_file():
        hint = "make it: CONTRIBUTING.md, Toolchains" if name.endswith(".lock") else ""
        raise fail("MB303", f"the toolchain has no file {name}", hint, Location(str(folder / "toolchain.toml")))
    return str(path.absolute())


def _native_lock(chain: list[tuple[Path, File]]) -> str:
    """The compiler's lock, beside the first toolchain.toml with a [[native]] table."""
    return next(_existing(folder, "native/requirements.lock") for folder, file in chain if file.native)


def _has_modules(folder: Path) -> bool:
    """Whether workers import modules of this folder. A rule's own folder is staged as the rule."""
    if (folder / "rule.py").exists():
        return False
    return any(path.name != "probe.py" for path in folder.glob("*.py"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
