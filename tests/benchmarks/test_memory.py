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
MODEL = 10
"""KiB that each further model may add at this size: the stamps of its files, where its parts of the state lie, and what is
remembered up to a limit. It was 8; with its declaration in memory 11, with all of it 59."""


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


KILLED = """
import sys
from pathlib import Path
from megbuild.store.digests import Digest, Stamp
from megbuild.store.state import Built, Published, State
from speed.first_build import peak_mib

root, models = Path(sys.argv[1]), int(sys.argv[2])
if models:
    state = State.load(root, print)
    for model in range(models):
        for step in range(6):
            id = f"//team{model // 100}:m{model}#step{step}"
            made = {f"artifact/m{model}.{step}": Digest("ab" * 32, 9)}
            places = {f"out/team{model // 100}/m{model}/{step}/a": Published(Stamp(1, 2, 3, model), "ab" * 32)}
            state.finished(id, Built("cd" * 32, {f"file:{n}": "ef" * 32 for n in range(9)}, made), places)
else:
    state = State.load(root, print)
    print(round(peak_mib()), len(state.built.names()))
    state.save()
    assert not (root / ".megbuild/journal").exists()
"""


def killed(folder: Path, models: int) -> int:
    """The most memory that reading the journal of a build takes that was killed before it saved anything, in MiB."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    said = ""
    for count in (models, 0):
        command = [sys.executable, "-c", KILLED, folder, str(count)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        said = done.stdout
    found, known = map(int, said.split())
    assert known == models
    return found


def test_the_journal_of_a_large_build_that_was_killed_is_read_in_pieces(tmp_path: Path) -> None:
    few, many = killed(tmp_path / "few", 1000), killed(tmp_path / "many", 3000)
    assert (many - few) * 1024 < 2000 * 3, f"{many - few} MiB more for 2000 models"
