"""Native sources of a toolchain: compiled by a locked compiler, once for all environments of a user."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from megbuild.declare.toolchains import Installation, Native
from megbuild.errors import FAILED, fail
from megbuild.execute import uv
from megbuild.execute.box import kernel
from megbuild.store.durable import place

_TARGET = "x86_64-linux-gnu.2.28"
"""The oldest glibc that the locked wheels run on, so that the host's does not matter."""


def add(parts: Installation, folder: Path, cache: Path, what: str, say: Callable[[str], None]) -> None:
    """Put every native output of a toolchain into the environment ``folder``.

    ``cache`` keeps what was compiled, by all that decides it; the compiler is fetched only for what is not there.
    Raises MB331 with the compiler's words, or uv's own errors.
    """
    lock = Path(parts.native_lock).read_bytes()
    kept = {native: cache / _key(native, lock) for native in parts.native}
    unknown = [native for native in parts.native if not kept[native].is_file()]
    if unknown:
        say(f"{what}: compiling {', '.join(Path(native.source).name for native in unknown)}")
        with tempfile.TemporaryDirectory(prefix="megbuild-") as scratch:
            compiler = _compiler(parts.native_lock, folder, Path(scratch), what, say)
            for native in unknown:
                place(kept[native], _compiled(native, compiler, Path(scratch), what), mode=0o555)
    for native in parts.native:
        output = folder / native.output
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept[native], output)


def _key(native: Native, lock: bytes) -> str:
    """The SHA-256 of all that decides what is compiled."""
    hashed = hashlib.sha256(Path(native.source).read_bytes())
    for part in (lock, _TARGET.encode(), *map(str.encode, native.arguments)):
        hashed.update(b"\0" + part)
    return hashed.hexdigest()


def _compiler(lock: str, folder: Path, scratch: Path, what: str, say: Callable[[str], None]) -> list[str]:
    """The command of the compiler that a lock pins; it lies in ``scratch`` and goes with it."""
    arguments = ["pip", "install", "--python", str(folder / "bin/python"), "--target", str(scratch / "compiler")]
    arguments += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirements", lock]
    try:
        uv.run(arguments, scratch, line=lambda line: uv.downloads(line, what, say))
    except uv.UvFailure as failure:
        raise uv.explain(failure, what) from None
    return [str(folder / "bin/python"), "-B", "-s", "-m", "ziglang", "cc", "-target", _TARGET, "-s"]


def _compiled(native: Native, compiler: list[str], scratch: Path, what: str) -> bytes:
    source = shutil.copy(native.source, scratch)  # compiled by its bare name: no path of this machine gets in
    output = scratch / "output"
    environment = {"PATH": os.defpath, "HOME": str(scratch), "PYTHONPATH": str(scratch / "compiler")}
    environment |= {f"ZIG_{kind}_CACHE_DIR": str(scratch / "zig") for kind in ("GLOBAL", "LOCAL")}
    command = [*compiler, *native.arguments, "-o", str(output), Path(source).name]
    done = subprocess.run(
        command, cwd=scratch, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        preexec_fn=kernel.die_with_parent,
    )  # fmt: skip
    if done.returncode or not output.is_file():
        said = uv.shortened(uv.sentence(done.stderr or "the compiler wrote nothing"))
        raise fail("MB331", f"{what}: {Path(source).name} cannot be compiled: {said}", status=FAILED)
    return output.read_bytes()
