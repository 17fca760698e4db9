"""Makes the environment of the coverage-guided fuzzer, and runs targets in it, each in a process of its own."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / ".venv/fuzz"
_LOCKS = (REPOSITORY / "requirements.lock", Path(__file__).with_name("requirements.lock"))
_NEWEST = (3, 13)
"""The newest Python that atheris has a wheel for; with another one the fuzzer runs on this."""


@dataclass(frozen=True)
class Result:
    """What a target did: cases run, edges of megbuild's code that were reached, seconds, and where a finding lies."""

    target: str
    cases: int
    reached: int
    seconds: float
    finding: str = ""

    def __str__(self) -> str:
        found = f"  FOUND: {self.finding}" if self.finding else ""
        return f"{self.target:14} {self.cases:8} cases {self.seconds:7.0f} s {self.reached:6} edges{found}"


def fuzz(names: Sequence[str], cases: int, seconds: float, seed: int, jobs: int = 1) -> Iterator[Result]:
    """Run targets, for a number of cases or for some seconds each; results come in the order of the names."""
    python = environment()
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda name: _one(python, name, cases, seconds, seed), names)


def environment() -> Path:
    """The interpreter of an environment with megbuild's packages, atheris and onnx, as locked; made once."""
    python = ENVIRONMENT / "bin/python"
    marker = ENVIRONMENT / "locks"
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in _LOCKS)).hexdigest()
    if not (marker.is_file() and marker.read_text() == wanted):
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        uv = str(Path(sys.executable).with_name("uv"))
        version = ".".join(map(str, min(sys.version_info[:2], _NEWEST)))
        subprocess.run([uv, "venv", "--quiet", "--python", version, str(ENVIRONMENT)], check=True)
        wheels = [word for path in _LOCKS for word in ("-r", str(path))]
        command = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", str(python), *wheels]
        subprocess.run(command, check=True)
        marker.write_text(wanted)
    return python


def _one(python: Path, name: str, cases: int, seconds: float, seed: int) -> Result:
    folder = Path(tempfile.mkdtemp(prefix=f"megbuild-found-{name}-"))
    for part in ("corpus", "found"):
        (folder / part).mkdir()
    until = [f"-max_total_time={int(seconds)}"] if seconds else [f"-runs={cases}"]
    command = [str(python), str(Path(__file__).with_name("drive.py")), name, f"{folder}/corpus", f"{folder}/found"]
    with (folder / "log").open("wb") as log:
        done = subprocess.run([*command, *until, f"-seed={seed}"], stdout=log, stderr=log, cwd=folder)
    said = (folder / "log").read_text("utf-8", "replace")
    result = Result(
        name,
        _last(r"number_of_executed_units: (\d+)", said),
        _last(r"cov: (\d+)", said),
        _last(r"in (\d+) second", said),
    )
    if done.returncode:
        return Result(name, result.cases or _last(r"^#(\d+)", said), result.reached, result.seconds, str(folder))
    shutil.rmtree(folder)
    return result


def _last(pattern: str, text: str) -> int:
    return int((re.findall(pattern, text, re.MULTILINE) or ["0"])[-1])
