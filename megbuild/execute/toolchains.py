"""Toolchains on this machine: installed once for all workspaces of a user, under their digest, and never changed after.

``<cache>/toolchains/<digest>/`` is a virtual environment. It is put together in a folder beside it and renamed when
it is complete and its probe has passed, so that a folder with a digest for its name is whole by construction. One
build installs at a time; another one that needs the same toolchain waits for it.
"""

from __future__ import annotations

import configparser
import errno
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from megbuild.declare import toolchains as declared
from megbuild.declare.models import Toolchain
from megbuild.errors import FAILED, MegbuildError, Problem, fail
from megbuild.execute import bytecode, interpreters, inventory, natives, uv
from megbuild.execute.box import kernel
from megbuild.store.durable import place, sync_folder

Say = Callable[[str], None]

_DAY = 86400.0
MARKER = "megbuild.json"
"""Written last into an environment: what it is, for people and for ``list_installed``."""


@dataclass(frozen=True)
class Installed:
    """An environment that is ready. ``folder`` is its ``sys.prefix``; ``environment`` the variables of its actions."""

    name: str
    digest: str
    python: str
    folder: str
    environment: Mapping[str, str]

    def roots(self) -> tuple[str, ...]:
        """The folders that a process of it reads: the environment, and the interpreter that it was made from.

        The interpreter's appears under every name by which the environment's links lead to it.
        """
        path, found = Path(self.python), [self.folder]
        while True:
            if not path.is_relative_to(self.folder):
                found.append(str(path.parent.parent))
            if not path.is_symlink():
                break
            path = path.parent / path.readlink()
        found.append(str(Path(os.path.realpath(self.python)).parent.parent))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Listed:
    """An environment in the cache; ``size`` in bytes, ``seconds`` what its installation took."""

    name: str
    digest: str
    folder: str
    python: str
    size: int
    seconds: float


def installed(toolchain: Toolchain, cache: Path) -> Installed | None:
    """The toolchain's environment if it is there: one stat, which fails too when its base interpreter was removed."""
    folder = f"{cache}/toolchains/{toolchain.digest}"
    python = f"{folder}/bin/python"
    if not Path(python).exists():
        return None
    return Installed(toolchain.name, toolchain.digest, python, folder, toolchain.environment)


def provision(toolchain: Toolchain, cache: Path, say: Say) -> Installed:
    """The toolchain's environment, installed first where it is missing. ``say`` is given lines of progress.

    Raises MB320 to MB332: no interpreter, no network, a hash that differs, a full disk, another platform, a failed
    build, or a probe whose answer differs.
    """
    if found := installed(toolchain, cache):
        return found
    home = cache.absolute() / "toolchains"
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home / f"{toolchain.digest}.lock", toolchain, say):
        if found := installed(toolchain, cache):
            return found
        if declared.digest(toolchain) != toolchain.digest:
            raise fail(
                "MB327",
                f"toolchain {toolchain.name}: its files changed while the build was reading them",
                "build again",
            )
        final, partial = home / toolchain.digest, home / f"{toolchain.digest}.partial"
        for leftover in (final, partial):  # of a killed installation, or an environment whose interpreter is gone
            _delete(leftover)
        try:
            _install(toolchain, partial, cache / "compiled", say)
            inventory.take(partial, _inventory(cache, toolchain.digest))
            partial.rename(final)
            sync_folder(home)
        except OSError as error:
            code, hint = (
                ("MB324", "free some space, or put the cache elsewhere")
                if error.errno == errno.ENOSPC
                else ("MB329", "")
            )
            raise fail(code, f"toolchain {toolchain.name} cannot be installed: {error}", hint, status=FAILED) from None
        finally:
            _delete(partial)
    found = installed(toolchain, cache)
    assert found, "it was installed just now"
    return found


def sound(toolchain: Toolchain, cache: Path, say: Say) -> bool:
    """Whether every file of an installed environment looks as it was installed; if not, the environment is removed.

    ``say`` hears which file does not. One of an older megbuild, which kept no inventory, is taken stock of now.
    """
    folder = cache.absolute() / "toolchains" / toolchain.digest
    try:
        changed = inventory.changed(folder, _inventory(cache, toolchain.digest))
    except FileNotFoundError:
        if folder.exists():
            with suppress(MegbuildError, OSError), _alone(folder.with_suffix(".lock"), toolchain, say):
                inventory.take(folder, _inventory(cache, toolchain.digest))  # else the cache cannot be written
        return True
    if not changed:
        _used(_inventory(cache, toolchain.digest))
        return True
    return not discard(toolchain, cache, say, lambda: inventory.changed(folder, _inventory(cache, toolchain.digest)))


def discard(toolchain: Toolchain, cache: Path, say: Say, changed: Callable[[], list[str]]) -> bool:
    """Remove an environment in which files have ``changed``, asked once more when nobody else can remove it.

    What it shares by hard links is damaged as well: uv's copies of these packages, and compiled modules.
    """
    folder = cache.absolute() / "toolchains" / toolchain.digest
    with _alone(folder.with_suffix(".lock"), toolchain, say):
        if not folder.exists() or not (files := changed()):  # another build has mended it
            return False
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        told = f"toolchain {toolchain.name}: {files[0]}{more} changed since it was installed; installing it again"
        problem = Problem("MB612", told)
        say(f"warning: {problem}")
        _forget_copies(folder, files, cache / "compiled")
        _inventory(cache, toolchain.digest).unlink(missing_ok=True)
        _take_away(folder)
    return True


def remove_installed(cache: Path, digest: str) -> None:
    """Delete an environment by its digest, with all that stands beside it; nobody uses the cache."""
    folder = cache.absolute() / "toolchains" / digest
    if folder.exists():
        _take_away(folder)
    for suffix in (".files", ".lock"):
        folder.with_suffix(suffix).unlink(missing_ok=True)


def sweep(cache: Path) -> None:
    """Delete what installations and removals that were killed have left; nobody uses the cache."""
    home = cache / "toolchains"
    if home.is_symlink():  # they are another cache's
        return
    for partial in home.glob("*.partial"):
        _delete(partial)
    for beside in (*home.glob("*.files"), *home.glob("*.lock")):
        if not beside.with_suffix("").exists():
            beside.unlink(missing_ok=True)


def damaged(cache: Path, digest: str) -> list[str]:
    """The files of an installed environment whose content is not what was installed; reads all of them."""
    try:
        return inventory.damaged(cache.absolute() / "toolchains" / digest, _inventory(cache, digest))
    except FileNotFoundError:
        return []


def _inventory(cache: Path, digest: str) -> Path:
    return cache.absolute() / "toolchains" / f"{digest}.files"


def condemn(cache: Path, digest: str) -> None:
    """Have an environment installed again by the next build that needs it."""
    place(_inventory(cache, digest), b"condemned")


def last_used(cache: Path, digest: str) -> float:
    """When a build last ran something in an environment, to about a day."""
    path = _inventory(cache, digest)
    return (path if path.exists() else cache / "toolchains" / digest / MARKER).stat().st_mtime


def _used(inventory: Path) -> None:
    with suppress(OSError):
        if inventory.stat().st_mtime < time.time() - _DAY:
            os.utime(inventory)


def _take_away(folder: Path) -> None:
    doomed = folder.with_suffix(".partial")
    _delete(doomed)
    folder.rename(doomed)  # no other build sees half of it
    _delete(doomed)


def _forget_copies(folder: Path, files: Iterable[str], compiled: Path) -> None:
    """Let go of copies that share their bytes with damaged files, so that these do not come back."""
    numbers = {(folder / name).lstat().st_ino for name in files if (folder / name).exists()}
    for copy in compiled.glob("**/*"):
        with suppress(OSError):
            if copy.lstat().st_ino in numbers:
                copy.unlink()
    packages = set()
    for record in folder.glob("lib/python3.*/site-packages/*.dist-info/RECORD"):
        inside = {line.split(",")[0] for line in record.read_text("utf-8", "replace").splitlines()}
        if any(name.partition("/site-packages/")[2] in inside for name in files):
            packages.add(record.parent.name.partition("-")[0])
    if packages:
        with suppress(uv.UvFailure):
            uv.run(["cache", "clean", "--force", *sorted(packages)], folder)


def list_installed(cache: Path) -> tuple[Listed, ...]:
    """The environments in the cache, by name."""
    found = []
    for marker in (cache / "toolchains").glob(f"*/{MARKER}"):
        if marker.parent.suffix != ".partial":
            about = json.loads(marker.read_text())
            found.append(
                Listed(
                    about["name"],
                    marker.parent.name,
                    str(marker.parent),
                    about["python"],
                    about["size"],
                    about["seconds"],
                )
            )
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.digest)))


def remove(toolchain: Toolchain, cache: Path) -> bool:
    """Delete its environment; whether there was one. Waits for a build that installs it."""
    home = cache.absolute() / "toolchains"
    folder = home / toolchain.digest
    if not folder.exists():
        return False
    with _alone(home / f"{toolchain.digest}.lock", toolchain, lambda line: None):
        _inventory(cache, toolchain.digest).unlink(missing_ok=True)
        _take_away(folder)
    return True


def _install(toolchain: Toolchain, folder: Path, compiled: Path, say: Say) -> None:
    """Put the whole environment together in ``folder``; ``compiled`` is the cache of what was compiled for any."""
    began = time.monotonic()
    what = f"toolchain {toolchain.name}"
    parts = declared.installation(toolchain)
    packages = declared.pins(*(Path(lock) for lock in toolchain.locks))
    count = f"{len(packages)} package{'' if len(packages) == 1 else 's'}"
    say(f"{what}: installing {count} for Python {toolchain.python}")
    interpreter = interpreters.find(toolchain.python, say)
    with tempfile.TemporaryDirectory(prefix="megbuild-") as scratch:
        try:
            uv.run(["venv", "--no-project", "--relocatable", "--python", interpreter, str(folder)], Path(scratch))
            for modules in toolchain.site:
                shutil.copytree(
                    modules, _site_packages(folder), dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                )
            for lock in toolchain.locks:
                _install_lock(
                    Path(lock), folder, parts.build, Path(scratch), lambda line: uv.downloads(line, what, say)
                )
        except uv.UvFailure as failure:
            raise uv.explain(failure, what) from None
    _remove_files(parts.removed, _site_packages(folder), what)
    _compile_modules(folder, compiled / "bytecode")
    if parts.native:
        natives.add(parts, folder, compiled / "native", what, say)
    answer = _probe(toolchain, parts, folder)
    seconds, size = time.monotonic() - began, _size(folder)
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
    _protect(folder)
    shown = f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
    say(f"{what}: {shown} in {seconds:.0f} s")


def _install_lock(
    lock: Path, folder: Path, build: Mapping[str, Mapping[str, Mapping[str, str]]], scratch: Path, line: uv.Line
) -> None:
    """Install exactly what the lock names, each file with a hash that the lock knows."""
    arguments = ["pip", "install", "--python", _python(folder), "--no-deps", "--require-hashes"]
    arguments += ["--requirements", str(lock), "--only-binary", ":all:"]
    configuration = configparser.ConfigParser()
    for package in sorted(build.keys() & declared.pins(lock).keys()):
        # Built with the setuptools and wheel that the locks pin, in the environment itself: nothing is fetched for it.
        arguments += ["--no-binary", package, "--no-build-isolation-package", package]
        configuration.read_dict(build[package])
    with (scratch / "distutils.cfg").open("w") as file:
        configuration.write(file)
    extra = {"DIST_EXTRA_CONFIG": str(scratch / "distutils.cfg")}
    uv.run(arguments, scratch, extra=extra, line=line)


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


def _compile_modules(folder: Path, cache: Path) -> None:
    """Give every module its compiled form; without it each import would compile anew, for actions write nothing."""
    quietly = ("-B", "-I", "-W", "ignore")
    command = [_python(folder), *quietly, bytecode.__file__, str(_site_packages(folder)), str(cache.absolute())]
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False, preexec_fn=kernel.die_with_parent
    )  # else from source


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


@contextmanager
def _alone(lock: Path, toolchain: Toolchain, say: Say) -> Iterator[None]:
    """Hold the lock of one digest; the kernel lets go of it when the process ends, however it ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"toolchain {toolchain.name}: another build installs it, waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _python(folder: Path) -> str:
    return str(folder / "bin" / "python")


def _site_packages(folder: Path) -> Path:
    (found,) = (folder / "lib").glob("python3.*/site-packages")
    return found


def _size(folder: Path) -> int:
    """Bytes of all files; those that uv shares with its cache by hard links count in full."""
    return sum(path.lstat().st_size for inner in _folders(folder) for path in inner.iterdir())


def _protect(folder: Path) -> None:
    """Take write permission off the folders. Files stay as they are: they share their inodes with uv's cache."""
    for inner in _folders(folder):
        inner.chmod(0o555)


def _delete(folder: Path) -> None:
    """Delete an environment whose folders may be without write permission."""
    if not folder.exists():
        return
    for inner in _folders(folder):
        inner.chmod(0o755)
    shutil.rmtree(folder)


def _folders(folder: Path) -> Iterator[Path]:
    """The folder and every folder below it, a folder before those in it; links are not followed."""
    yield folder
    with os.scandir(folder) as found:
        inner = [Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False)]
    for path in inner:
        yield from _folders(path)
