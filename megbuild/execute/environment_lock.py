"""Making locks: of a user's training packages (``doit toolchain lock FILE``), and of the toolchains themselves.

A lock names every package with its version and the hashes of its files, and nothing of where they came from. The lock
of an environment on top of a toolchain holds only what the toolchain does not have, chosen to go with its pins.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import tomli

from megbuild.declare import toolchains as declared
from megbuild.declare.models import Toolchain
from megbuild.errors import FAILED, Location, MegbuildError, fail
from megbuild.execute import interpreters, uv
from megbuild.store.recovery import hand_over

Say = Callable[[str], None]

_PLATFORM = "x86_64-manylinux_2_28"

_HEADER = """\
# Made from {source} by `doit toolchain lock` for Python {python} on Linux x86-64{beside}.
# Edit {source}, not this file.
"""


def lock(requirements: Path, toolchain: Toolchain, say: Say, *, upgrade: bool = False) -> Path:
    """Write the lock of the packages in ``requirements`` beside it (``requirements.in`` -> ``requirements.lock``).

    ``toolchain`` is what they are installed on top of. Versions of an existing lock are kept where they still fit,
    unless ``upgrade``. Raises MB310 (the file), MB311 (a conflict with the toolchain), MB312 (no such package) or MB322
    (no network).
    """
    _check(requirements, toolchain)
    target = requirements.with_suffix(".lock")
    own = declared.pins(*(Path(path) for path in toolchain.locks))
    say(f"locking {requirements.name} for {toolchain.name} (Python {toolchain.python})")
    text = _compiled(
        requirements,
        target if not upgrade else None,
        toolchain.python,
        constraints=toolchain.locks,
        without=(*declared.installation(toolchain).provides,),
        omitted=own,
        beside=f", on top of the toolchain {toolchain.name}",
        place=toolchain.name,
    )
    hand_over(target, text.encode(), say)
    say(f"{target.name}: {len(declared.pins(target))} packages pinned")
    return target


def lock_toolchain(name: str, known: Mapping[str, Path], say: Say, *, upgrade: bool = False) -> tuple[Path, ...]:
    """Write the locks of a toolchain's folder from its ``requirements*.in``; those of what it extends hold."""
    folder, file = known[name], declared.read(known[name] / "toolchain.toml")
    base = declared.describe(file.extends, known) if file.extends else None
    written = []
    for requirements in sorted([*folder.glob("requirements.in"), *folder.glob("native/requirements.in")]):
        target = requirements.with_suffix(".lock")
        text = _compiled(
            requirements,
            target if not upgrade else None,
            file.python,
            constraints=base.locks if base else (),
            without=declared.left_out(name, known),
            omitted=declared.pins(*(Path(path) for path in base.locks)) if base else (),
            beside=f", on top of the toolchain {file.extends}" if base else "",
            place=file.extends,
            sources=tuple(file.build),
        )
        hand_over(target, text.encode(), say)
        say(f"{target}: {len(declared.pins(target))} packages pinned")
        written.append(target)
    return tuple(written)


def _compiled(
    requirements: Path,
    previous: Path | None,
    python: str,
    *,
    constraints: Sequence[str],
    without: Iterable[str],
    omitted: Iterable[str],
    beside: str,
    place: str,
    sources: Sequence[str] = (),
) -> str:
    """The text of a lock. ``without`` are packages left out of the resolution, ``omitted`` only of the text."""
    with tempfile.TemporaryDirectory(prefix="megbuild-") as scratch:
        excludes, output = Path(scratch, "excludes.txt"), Path(scratch, "requirements.lock")
        excludes.write_text("".join(f"{package}\n" for package in sorted(set(without))))
        if previous and previous.is_file():
            shutil.copyfile(previous, output)  # uv keeps the versions that it finds there
        arguments = [
            "pip",
            "compile",
            "--quiet",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
            "--no-emit-index-url",
        ]
        arguments += [
            "--no-emit-find-links",
            "--only-binary",
            ":all:",
            "--python-version",
            python,
            "--python-platform",
            _PLATFORM,
        ]
        arguments += ["--python", interpreters.find(python), "--excludes", str(excludes), "--output-file", str(output)]
        arguments += [argument for package in sources for argument in ("--no-binary", package)]
        arguments += [argument for path in constraints for argument in ("--constraints", path)]
        arguments += [argument for package in sorted(omitted) for argument in ("--no-emit-package", package)]
        try:
            uv.run([*arguments, str(requirements.absolute())], Path(scratch))
            text = _one_file_each(_without_notes(output.read_text()), python, sources, Path(scratch))
        except uv.UvFailure as failure:
            raise _explained(failure, requirements, place, constraints) from None
        header = _HEADER.format(source=requirements.name, python=python, beside=beside)
        return header + text


def _one_file_each(text: str, python: str, sources: Sequence[str], scratch: Path) -> str:
    """A lock whose packages have the hash of one file each, the one for this Python and platform.

    What is installed then follows from the lock alone, not from the machine: provenance names it by its digest.
    """
    whole, output = scratch / "whole.txt", scratch / "pylock.toml"
    whole.write_text(text)
    arguments = ["pip", "compile", "--quiet", "--no-deps", "--no-header", "--format", "pylock.toml"]
    arguments += ["--python-version", python, "--python-platform", _PLATFORM, "--python", interpreters.find(python)]
    uv.run([*arguments, "--output-file", str(output), str(whole)], scratch)
    chosen: dict[str, str] = {}
    for package in tomli.loads(output.read_text()).get("packages", []):
        name = declared.normalised(package["name"])
        from_source = name in map(declared.normalised, sources)
        files = [package["sdist"]] if from_source else sorted(package.get("wheels", []), key=_how_special)
        if files:
            chosen[name] = files[0]["hashes"]["sha256"]
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    return "".join(
        _with_one(block, chosen.get(declared.normalised(re.split(r"[\[=]", block)[0]), "")) for block in blocks
    )


def _how_special(wheel: Mapping[str, str]) -> tuple[bool, bool, str]:
    """The order in which wheels that all fit are preferred: for this platform, for this Python, by name."""
    name = wheel.get("name") or wheel["url"].rpartition("/")[2]
    return name.endswith("-any.whl"), "-abi3-" in name, name


def _with_one(block: str, sha256: str) -> str:
    """A package's lines of a lock with this hash only; as they are where it is none of theirs."""
    if f"--hash=sha256:{sha256}" not in block or not sha256:
        return block
    return f"{block.splitlines()[0]}\n    --hash=sha256:{sha256}\n"


def _without_notes(text: str) -> str:
    """A lock without the comments that uv adds."""
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() and not line.startswith("#"))


def _check(requirements: Path, toolchain: Toolchain) -> None:
    """Problems of the file that uv would not see or not say well."""
    if requirements.suffix != ".in" or not requirements.is_file():
        hint = "name a file such as requirements.in that lists the packages, one a line"
        raise fail(
            "MB310",
            "this is not a requirements file" if requirements.exists() else "this file does not exist",
            hint,
            Location(str(requirements)),
        )
    provided = {declared.normalised(package) for package in declared.installation(toolchain).provides}
    own = declared.pins(*(Path(path) for path in toolchain.locks))
    for number, line in enumerate(requirements.read_text().splitlines(), start=1):
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*([=<>~!][^;#]*)?", line)
        if not match or (name := declared.normalised(match[1])) not in provided:
            continue
        asked, has = (match[2] or "").strip(), own.get(name, "")
        if asked and asked != f"=={has}":
            raise fail(
                "MB311",
                f"this asks for {name}{asked}, and the toolchain {toolchain.name} has "
                + (f"{name}=={has}" if has else "its own build of it"),
                "remove the line: the toolchain's is there",
                Location(str(requirements), number),
            )


def _explained(failure: uv.UvFailure, requirements: Path, toolchain: str, constraints: Sequence[str]) -> MegbuildError:
    """What uv's resolver said, as one error at the file."""
    said, where = uv.sentence(failure.said), Location(str(requirements))

    def written(package: str) -> Location:
        return _written(requirements, package)

    if "error sending request" in said or "dns error" in said:
        return uv.explain(failure, f"locking {requirements.name}")
    if bad := re.search(r": [^ ]*?:(\d+):(\d+)$", said):
        message = f"this line is not a requirement: {said[: bad.start()]}"
        return fail("MB310", message, "", Location(str(requirements), int(bad[1]), int(bad[2])))
    if missing := re.search(r"Because (\S+) was not found in the p", said):
        return fail(
            "MB312",
            f"there is no package {missing[1]} in the package index",
            "check its name",
            written(missing[1]),
            status=FAILED,
        )
    if missing := re.search(r"there is no version of ((\S+?)[=<>~!]\S*) and you require", said):
        return fail(
            "MB312",
            f"there is no {missing[1]} in the package index",
            "ask for another version",
            written(missing[2]),
            status=FAILED,
        )
    if source := re.search(
        r"Because (?:all versions of )?(([\w.-]+)\S*) ha(?:ve|s) no (?:usable )?wheels and you require", said
    ):
        message = f"{source[1]} has no wheel for this Python on Linux x86-64, and source archives are not built"
        return fail("MB312", message, "ask for another version or package", written(source[2]), status=FAILED)
    own = declared.pins(*(Path(path) for path in constraints))
    for package, version in own.items():
        pinned = f"{package}=={version}"
        if not re.search(rf"\b{re.escape(pinned)}(?![\w.])", said):
            continue
        asked = re.findall(rf"(?:(\S+) depends? on|require) ({re.escape(package)}[=<>~!][^ ]*)", said)
        others = [(who, what.rstrip(",")) for who, what in asked if what.rstrip(",") != pinned]
        if others:
            who, what = others[0]
            name = re.split("[=<>~!]", who or package)[0]
            asking = (who if "==" in who else name) if who else "this"
            message = f"{asking} asks for {what}, and the toolchain {toolchain} has {pinned}"
            return fail("MB311", message, f"ask for a version that goes with {pinned}", written(name), status=FAILED)
    return fail("MB312", f"these packages do not go together: {uv.shortened(said)}", "", where, status=FAILED)


def _written(requirements: Path, package: str) -> Location:
    """The line that asks for the package; only the file when none does, and another package brought it."""
    for number, line in enumerate(requirements.read_text().splitlines(), start=1):
        match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
        if match and declared.normalised(match[1]) == declared.normalised(package):
            return Location(str(requirements), number)
    return Location(str(requirements))
