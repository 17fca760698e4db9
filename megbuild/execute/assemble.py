"""Puts the environment of a toolchain together: Python, what its locks name, what it has beside them, and its probe.

Files come from uv's cache by hard links, compiled modules from megbuild's own, and digests of both are remembered
there: with all of them warm, the probe is what takes longest (docs/adr/0037).
"""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from megbuild.declare import toolchains as declared
from megbuild.declare.models import Toolchain
from megbuild.errors import FAILED, fail
from megbuild.execute import compiled, interpreters, inventory, natives, uv
from megbuild.execute.box import kernel
from megbuild.execute.known import Known
from megbuild.execute.read_only import protect

Say = Callable[[str], None]

MARKER = "megbuild.json"
"""Written last into an environment: what it is, for people and for ``list_installed``."""
DIGESTS = "digests"
"""The folder of what is known of files, beside what was compiled; a file for each version of Python."""


def assemble(toolchain: Toolchain, folder: Path, cache: Path, say: Say) -> dict[str, inventory.Entry]:
    """Put the whole environment together in ``folder``; its inventory. ``cache`` keeps what serves other ones, too."""
    began = time.monotonic()
    what = f"toolchain {toolchain.name}"
    parts = declared.installation(toolchain)
    packages = declared.pins(*(Path(lock) for lock in toolchain.locks))
    count = f"{len(packages)} package{'' if len(packages) == 1 else 's'}"
    say(f"{what}: installing {count} for Python {toolchain.python}")
    interpreter = interpreters.find(toolchain.python, say)
    _install(toolchain, parts, folder, interpreter, say)
    _remove_files(parts.removed, _site_packages(folder), what)
    known = Known(cache / DIGESTS / toolchain.python)
    compiled.share(folder, cache / "bytecode", known)
    if parts.native:
        natives.add(parts, folder, cache / "native", what, say)
    answer = _probe(toolchain, parts, folder)
    files = inventory.take(folder, known)
    known.save()
    seconds, size = time.monotonic() - began, sum(entry[0] for entry in files.values())
    about = {
        "name": toolchain.name,
        "digest": toolchain.digest,
        "python": toolchain.python,
        "interpreter": interpreter,
        "packages": packages,
        "probe": answer,
        "size": size,
        "seconds": round(seconds, 1),
    }
    (folder / MARKER).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    protect(folder)
    shown = f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
    say(f"{what}: {shown} in {seconds:.0f} s")
    return {**files, MARKER: inventory.entry(folder / MARKER)}


def _install(toolchain: Toolchain, parts: declared.Installation, folder: Path, interpreter: str, say: Say) -> None:
    """An environment of the interpreter, with the toolchain's own modules and what its locks name."""
    what = f"toolchain {toolchain.name}"
    with tempfile.TemporaryDirectory(prefix="megbuild-") as scratch:
        try:
            uv.run(["venv", "--no-project", "--relocatable", "--python", interpreter, str(folder)], Path(scratch))
            for modules in toolchain.site:
                shutil.copytree(
                    modules, _site_packages(folder), dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                )
            for locks in _at_once([Path(lock) for lock in toolchain.locks], parts.build):
                _install_locks(locks, folder, parts.build, Path(scratch), lambda line: uv.downloads(line, what, say))
        except uv.UvFailure as failure:
            raise uv.explain(failure, what) from None


def _at_once(locks: list[Path], build: Mapping[str, Mapping[str, Mapping[str, str]]]) -> list[list[Path]]:
    """The locks that one run of uv installs: all, or one after another where two name the same package, or where a package
    is built with options that another one would get, too, and may not know."""
    pins = declared.pins(*locks)
    built = build.keys() & pins.keys()
    alike = len(built) < 2 or not any(build[package] for package in built)
    apart = sum(len(declared.pins(lock)) for lock in locks) == len(pins)
    return [locks] if apart and alike else [[lock] for lock in locks]


def _install_locks(
    locks: list[Path], folder: Path, build: Mapping[str, Mapping[str, Mapping[str, str]]], scratch: Path, line: uv.Line
) -> None:
    """Install exactly what the locks name, each file with a hash that they know."""
    arguments = ["pip", "install", "--python", _python(folder), "--no-deps", "--require-hashes"]
    arguments += ["--only-binary", ":all:", *(word for lock in locks for word in ("--requirements", str(lock)))]
    configuration = configparser.ConfigParser()
    for package in sorted(build.keys() & declared.pins(*locks).keys()):
        # Built with the setuptools and wheel that the locks pin, in the environment itself: nothing is fetched for it.
        arguments += ["--no-binary", package, "--no-build-isolation-package", package]
        configuration.read_dict(build[package])
    with (scratch / "distutils.cfg").open("w") as file:
        configuration.write(file)
    extra = {"DIST_EXTRA_CONFIG": str(scratch / "distutils.cfg")}
    uv.run(arguments, scratch, extra=extra, line=line, cached=True)


def _remove_files(patterns: tuple[str, ...], packages: Path, what: str) -> None:
    """Take files of packages away; one that is not there any more is an error, for the reason of its removal is unknown then."""
    for pattern in patterns:
        found = [path for path in packages.glob(pattern) if not path.is_dir()]
        if not found:
            raise fail(
                "MB420", f"{what}: no package has the file {pattern}, which is to be removed",
                "correct or leave out this entry of removed in its toolchain.toml", status=FAILED,
            )  # fmt: skip
        for path in found:
            path.unlink()


def _probe(toolchain: Toolchain, parts: declared.Installation, folder: Path) -> str:
    """Run the probe as an action would be run; its answer, which must be the expected one."""
    if parts.probe is None:
        return ""
    what = f"toolchain {toolchain.name}"
    with tempfile.TemporaryDirectory(prefix="megbuild-") as scratch:
        environment = {
            "PATH": os.defpath,
            "HOME": scratch,
            "TMPDIR": scratch,
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        }
        environment |= toolchain.environment
        command = [_python(folder), "-B", "-s", parts.probe.script]
        done = subprocess.run(
            command, cwd=scratch, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            preexec_fn=kernel.die_with_parent,
        )  # fmt: skip
    answer = done.stdout.strip().rpartition("\n")[2]
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise fail(
            "MB332", f"{what} was installed as locked but does not work: its probe ended with status {done.returncode}: {last}",
            "report it with your processor's model and Linux distribution", status=FAILED,
        )  # fmt: skip
    if answer != parts.probe.expect:
        raise fail(
            "MB332", f"{what} does not behave as locked: its probe answers {answer or 'nothing'}, not {parts.probe.expect}",
            "report it with your processor's model and Linux distribution", status=FAILED,
        )  # fmt: skip
    return answer


def _python(folder: Path) -> str:
    return str(folder / "bin" / "python")


def _site_packages(folder: Path) -> Path:
    (found,) = (folder / "lib").glob("python3.*/site-packages")
    return found
