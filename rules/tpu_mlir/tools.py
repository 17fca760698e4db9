"""The programs of tpu-mlir, each run in a process of its own with the environment that they want."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from megbuild_worker.job import Refusal

PACKAGE = Path(sysconfig.get_paths()["purelib"], "tpu_mlir")


def run(name: str, arguments: Sequence[str], folder: Path, what: str) -> None:
    """Runs a tool in ``folder``; Refusal with ``what`` and the tool's own sentence when it fails."""
    _run(PACKAGE / "python" / "tools" / f"{name}.py", arguments, folder, what, _standing_still(folder))


def simulate(program: Path, arguments: Sequence[str], folder: Path) -> None:
    """Runs a program of ours that imports the simulators, which find their libraries only when their process starts."""
    _run(program, arguments, folder, "the simulator of tpu-mlir failed", {})


def _standing_still(folder: Path) -> dict[str, str]:
    library = Path(sys.prefix, "lib", "megbuild", "clock.so")
    if not library.is_file():
        raise Refusal(f"the tpu_mlir toolchain is incomplete: {library} is missing")
    if not (folder / "clock.so").exists():
        (folder / "clock.so").symlink_to(library)
    return {"LD_PRELOAD": "./clock.so"}  # the linker takes a blank in it for the end of a name


def _run(program: Path, arguments: Sequence[str], folder: Path, what: str, more: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-s", "-W", "ignore", str(program), *arguments], cwd=folder, text=True, errors="replace",
        env={**_environment(), **more}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    if done.returncode:
        raise Refusal(f"{what}: {_said(done.stdout) or f'it ended with status {done.returncode}'}")


def _environment() -> dict[str, str]:
    libraries = [PACKAGE / "lib", PACKAGE / "lib" / "capi", PACKAGE / "lib" / "third_party"]
    modules = [PACKAGE, PACKAGE / "python", PACKAGE / "customlayer" / "python"]
    return {
        **os.environ,
        "PATH": f"{PACKAGE / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "PYTHONPATH": ":".join(map(str, modules)),
        "TPUC_ROOT": str(PACKAGE),
    }


def _said(log: str) -> str:
    """The reason: an error of the compiler proper where there is one, else the last exception."""
    errors = re.findall(r"(?:^|: )error: (.+)", log)
    raised = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception)\b: (.+)", log, re.MULTILINE)
    return (errors[:1] or raised[-1:] or [""])[0].strip()
