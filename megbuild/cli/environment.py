"""The environment of a checkout: ``.venv``, exactly what requirements.lock names, and megbuild itself, editable.

``./doit`` runs this with any Python 3.10 or newer and nothing installed, so it imports the standard library, and of
megbuild only what does the same. It is alone by a lock on the checkout's folder, and what it leaves is complete only
when ``.venv/megbuild/root`` stands there: that file is written last and taken away first.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megbuild.errors import FAILED, MegbuildError, Problem, fail
from megbuild.execute import uv

WHAT = "megbuild's own environment"
LOOP = "megbuild/store/moved.c"
SOURCES = ("requirements.lock", "pyproject.toml", LOOP)
"""What the environment is made from. Copies with the same times stand in it, for the wrapper to compare."""


def main() -> int:
    """Make or mend the environment of the checkout in the current folder; the exit status."""
    try:
        with _alone(Path.cwd()):
            _bring(Path.cwd())
        return 0
    except MegbuildError as error:
        print(f"doit: {error}", file=sys.stderr)
        return error.status
    except OSError as error:
        print(f"doit: {Problem('MB607', f'{WHAT}: {error.filename}: {error.strerror}')}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("doit: interrupted; the next call begins anew", file=sys.stderr)
        return 130


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """While another process makes the environment, wait for it. The lock ends with the process that has it."""
    folder = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another doit, which is making the environment")
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: better without than not at all
            pass
        yield
    finally:
        os.close(folder)


def _bring(root: Path) -> None:
    begun = time.monotonic()
    environment = root / ".venv"
    made = environment / "megbuild"
    complete = _complete(environment, root)
    if complete and _unchanged(root, made):
        _copy_sources(root, made)  # the contents are the same: only the times differ
        return
    (made / "root").unlink(missing_ok=True)
    if complete:
        _say("the lock or the project changed: bringing .venv up to date")
        program = str(environment / "bin" / "uv")
    else:
        _say(f"first use: making .venv with Python {sys.version.split()[0]} from requirements.lock")
        _create(environment)
        program = _pinned_uv(root, environment)
        _keep(program, root)
    made.mkdir(exist_ok=True)
    _copy_sources(root, made)
    _install(program, root, environment)
    _compile(root / LOOP, made / "moved.so")
    (made / "root").write_text(f"{root}\n")
    _say(f".venv is ready ({time.monotonic() - begun:.0f} s)")


def _complete(environment: Path, root: Path) -> bool:
    """Whether the environment was finished, for this folder, and its interpreter still starts."""
    try:
        if (environment / "megbuild" / "root").read_text() != f"{root}\n":
            return False
        python = environment / "bin" / "python"
        return subprocess.run([python, "-I", "-c", ""], capture_output=True).returncode == 0
    except (OSError, ValueError):
        return False


def _unchanged(root: Path, made: Path) -> bool:
    try:
        return all((root / name).read_bytes() == (made / Path(name).name).read_bytes() for name in SOURCES)
    except FileNotFoundError:  # a version that had fewer of them made it
        return False


def _copy_sources(root: Path, made: Path) -> None:
    for name in SOURCES:
        shutil.copy2(root / name, made / Path(name).name)


def _create(environment: Path) -> None:
    """An empty environment in place of whatever is there."""
    if environment.is_symlink() or environment.is_file():
        environment.unlink()
    elif environment.exists():
        shutil.rmtree(environment)
    try:
        from venv import EnvBuilder
    except ImportError:
        program = shutil.which("uv")
        if not program:
            raise _no_uv("no venv module") from None
        _uv(program, environment.parent, "venv", "--quiet", "--python", sys.executable, str(environment))
    else:
        EnvBuilder(symlinks=True).create(environment)


def _pinned_uv(root: Path, environment: Path) -> str:
    """The uv of the lock: kept from the last time, or installed by pip; when that cannot be, the one on PATH."""
    if (kept := _kept(root)).is_file():
        return str(kept)
    pinned = environment / "uv.lock"
    pinned.write_text(_pin(root))
    said = None
    if pip := _pip(environment):
        options = ("--quiet", "--disable-pip-version-check", "--retries", "1", "--no-deps", "--require-hashes")
        done = subprocess.run([*pip, "install", *options, "-r", pinned], capture_output=True, text=True)
        if done.returncode == 0:
            return str(environment / "bin" / "uv")
        said = done.stdout + done.stderr
    if on_path := shutil.which("uv"):
        return on_path
    raise _no_uv("no ensurepip module") if said is None else _pip_failed(said)


def _pin(root: Path) -> str:
    """What the lock says of uv, hashes included."""
    return "".join(re.findall(r"^uv==(?:.*\\\n)*.*\n", (root / "requirements.lock").read_text(), re.MULTILINE))


def _kept(root: Path) -> Path:
    """Where the uv of a lock is kept for other checkouts: pip takes longer to bring it than it takes for all the rest."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = os.environ.get("MEGBUILD_CACHE") or Path(caches, "megbuild")
    return Path(folder, "uv", hashlib.sha256(_pin(root).encode()).hexdigest()[:16])


def _keep(program: str, root: Path) -> None:
    kept = _kept(root)
    if kept.exists() or Path(program) != root / ".venv" / "bin" / "uv":
        return
    part = kept.with_name(f"{kept.name}.{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, part)
        part.rename(kept)
    except OSError:  # a cache that cannot be written: the next checkout does without
        part.unlink(missing_ok=True)


def _pip(environment: Path) -> list[str] | None:
    """The command of a pip that installs into the environment: its own, or else that of the Python it was made with."""
    python = str(environment / "bin" / "python")
    own = [python, "-I", "-m", "ensurepip"]
    if importlib.util.find_spec("ensurepip") and subprocess.run(own, capture_output=True).returncode == 0:
        return [python, "-I", "-m", "pip"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-I", "-m", "pip", "--python", python]
    return None


def _install(program: str, root: Path, environment: Path) -> None:
    """What the lock names and nothing else, then megbuild; pip has served, and uv would keep it as a part of Python."""
    into = ("--quiet", "--python", str(environment / "bin" / "python"))
    lock = str(environment / "megbuild" / "requirements.lock")
    _uv(program, root, "pip", "sync", *into, "--require-hashes", lock, cached=True)
    if any(environment.glob("lib/python3*/site-packages/pip")):
        _uv(program, root, "pip", "uninstall", *into, "pip", "setuptools")
    with tempfile.TemporaryDirectory(prefix="megbuild-") as scratch:
        wheel = _editable(root, environment, Path(scratch))
        _uv(program, root, "pip", "install", *into, "--no-deps", "--no-index", "--no-cache", str(wheel))


def _editable(root: Path, environment: Path, folder: Path) -> Path:
    """megbuild's editable wheel, made as PEP 660 says by the builder of the lock; uv would ask it in three processes."""
    code = "import sys; from hatchling.build import build_editable; print(build_editable(sys.argv[1]))"
    command = [str(environment / "bin" / "python"), "-I", "-c", code, str(folder)]
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        said = uv.shortened(" ".join(done.stderr.strip().splitlines()[-1:]))
        raise fail("MB329", f"{WHAT}: megbuild itself cannot be installed: {said}", status=FAILED)
    return Path(folder, done.stdout.strip().rpartition("\n")[2])


def _compile(source: Path, library: Path) -> None:
    """What makes builds with nothing to do quicker (``megbuild/store/moved.py``), where there is a C compiler."""
    library.unlink(missing_ok=True)
    part = library.with_suffix(".part")
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(part), str(source)]
    try:
        if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode == 0:
            part.rename(library)
    except (OSError, subprocess.TimeoutExpired):  # none, or none that works: Python gives the same answers
        part.unlink(missing_ok=True)


def _uv(program: str, folder: Path, *arguments: str, cached: bool = False) -> None:
    try:
        try:
            uv.run(arguments, folder, using=program, cached=cached)
        except uv.UvFailure as failure:
            if "initialize cache" not in failure.said:
                raise
            uv.run(arguments, folder, using=program, extra={"UV_NO_CACHE": "1"})  # a home that cannot be written
    except uv.UvFailure as failure:
        raise uv.explain(failure, WHAT) from None


def _no_uv(lacking: str) -> MegbuildError:
    python = f"{sys.executable} (Python {sys.version.split()[0]})"
    hint = "install one of the two: apt install python3-venv, or uv"
    return fail("MB321", f"{WHAT} is installed with uv; there is none, and {python} has {lacking}", hint, status=FAILED)


def _pip_failed(said: str) -> MegbuildError:
    if "DO NOT MATCH THE HASHES" in said:
        return uv.explain(uv.UvFailure("Hash mismatch for `uv`"), WHAT)
    if re.search(r"Retrying \(|ConnectionError|SSLError|Could not fetch URL|name resolution", said):
        return uv.explain(uv.UvFailure("error sending request"), WHAT)
    if "No space left on device" in said:
        return uv.explain(uv.UvFailure("No space left on device"), WHAT)
    errors = re.findall(r"^ERROR: (.+)", said, re.MULTILINE) or said.strip().splitlines()[-1:]
    return fail("MB329", f"{WHAT}: pip failed: {uv.shortened(' '.join(errors))}", status=FAILED)


def _say(text: str) -> None:
    print(f"megbuild: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
