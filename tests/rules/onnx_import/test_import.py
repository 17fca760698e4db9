"""ONNX files of other exporters, imported by the rule's worker and held against onnxruntime on the file itself."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from megbuild.declare import toolchains
from megbuild.declare.rules import builtin_rules_folder
from megbuild.execute.toolchains import Installed, provision
from megbuild.store.places import cache_folder

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
EXPORTED = sorted(
    path.stem for path in (HERE / "files").glob("*.onnx") if not path.stem.startswith(("grid_sample", "conv1d"))
)
MADE = (
    "unnamed_nodes", "initialisers_as_inputs", "shape_at_run_time", "old_softmax", "taken_apart",
    "own_function", "newer_than_the_runtime", "resize_cubic", "scattered",
)  # fmt: skip
REFUSED = {
    "refused_all_at_once": "refused_all_at_once.onnx cannot become a .tm: Det (nodes first, second): MegEngine has nothing "
    "like it; NonZero (node third): MegEngine has nothing like it",
    "random_values": "RandomNormalLike (node dice): MegEngine has nothing like it",
    "other_domain": "Gelu (node foreign): it is of the domain com.microsoft, which ONNX does not define",
    "far_too_new": "far_too_new.onnx is of opset 23; onnxruntime here runs up to 19: export it with opset_version=19 or less",
    "far_too_old": "onnxruntime cannot run far_too_old.onnx",
    # A rounded-up window at the end: onnxruntime 1.16 divides by what is inside of it otherwise than ONNX says.
    "conv1d-script13": "AveragePool (node /5/AveragePool): MegEngine and onnxruntime differ by ",
    "grid_sample-dynamo18": "GridSample (node node_grid_sampler): MegEngine has nothing like it",
}
ENOUGH = 1e-4
WARM = ("rnn-dynamo18",)
"""Its second import in one process gives other bytes than the first; a build imports in a process of its own."""

Answers = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What the one process says of every file; workers of a test session share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "onnx-import"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "answers").exists():
            _ask(folder)
    lines = (folder / "answers").read_text().splitlines()
    return {answer["name"]: answer for answer in map(json.loads, lines)}


def _ask(folder: Path) -> None:
    toolchain = _toolchain()
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    command = [toolchain.python, "-B", "-s", str(HERE / "driver.py"), str(REPOSITORY), str(folder), "answers.partial"]
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            command, cwd=folder, env={**environment, **toolchain.environment}, stdout=log, stderr=log, check=False
        )
    if done.returncode:
        pytest.fail(f"the driver ended with status {done.returncode}:\n" + (folder / "log").read_text()[-4000:])
    (folder / "answers.partial").rename(folder / "answers")


def _toolchain() -> Installed:
    described = toolchains.describe("mgeconvert", toolchains.folders(builtin_rules_folder()))
    return provision(described, Path(os.environ.get("MEGBUILD_TEST_CACHE") or cache_folder()), lambda line: None)


@pytest.mark.parametrize("name", [*EXPORTED, *MADE])
def test_it_is_imported(name: str, answers: Answers) -> None:
    answer = answers[name]
    assert answer["outcome"] == "ok", answer["said"]
    assert answer["error"] < ENOUGH
    assert answer["same"] or name in WARM, "two imports gave other bytes"


@pytest.mark.parametrize("name", list(REFUSED))
def test_it_is_refused_by_name(name: str, answers: Answers) -> None:
    assert answers[name]["outcome"] == "refused", answers[name]
    assert REFUSED[name] in answers[name]["said"]


def test_operations_are_noted_with_their_nodes(answers: Answers) -> None:
    assert answers["lenet-dynamo18"]["noted"] >= 8
