"""The memory of the core hardly grows with the workspace: a build of twice as many models needs little more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

LAY_OUT = """
import sys
from pathlib import Path
from speed import graph

graph.lay_out(Path(sys.argv[1]), int(sys.argv[2]))
"""
BASE = 75
"""MiB for a first build of 500 models: Python, the modules, and the slices that are in memory."""
MODEL = 18
"""KiB that each further model may add: its declaration, and the stamps of its files. With all of it in memory it was 59."""


def peak(folder: Path, models: int) -> int:
    """The most memory that a first build takes, in MiB, with actions that hash what they read."""
    root = folder / f"of-{models}"
    environment = {**os.environ, "MEGBUILD_CACHE": str(folder / f"cache-{models}"), "PYTHONPATH": str(BENCHMARKS)}
    subprocess.run([sys.executable, "-c", LAY_OUT, root, str(models)], env=environment, check=True)
    script = str(BENCHMARKS / "speed/first_build.py")
    done = subprocess.run(
        [sys.executable, script], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert (said["ran"], said["outputs"]) == (6 * models, 2 * models)
    found: int = said["peak_mib"]
    return found


def test_more_models_need_little_more_memory(tmp_path: Path) -> None:
    """Two and six slices at least, so that what is put away and comes back is more than what stays."""
    few, many = peak(tmp_path, 500), peak(tmp_path, 1500)
    assert few < BASE
    assert (many - few) * 1024 < 1000 * MODEL, f"{many - few} MiB more for 1000 models"
