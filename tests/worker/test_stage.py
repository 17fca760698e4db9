"""A staged folder is run as megbuild runs it: a fresh interpreter, a request, an exit status."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import megbuild.worker

WORKER = """
from megbuild_worker.job import Refusal, Tensor
from . import beside
import numpy as np
import shared

def build(job):
    if job.options.refuse:
        raise Refusal("no, because\\n of this")
    job.output("artifact").write_text(beside.TEXT + shared.TEXT)

def train(job):
    import sys
    sys.path.insert(0, str(job.folder / "in/source"))
    import user
    user.fail()

def describe(paths):
    return {"inputs": [Tensor("x", (1, 4), "float32")], "results": [Tensor("y", (1, 4), "float32")]}

def run(paths, feeds, job):
    assert paths[0].read_text() == "beside shared"
    for feed in feeds:
        yield {"y": feed["x"] + np.float32(1)}

def runtime():
    return "nothing 1"
"""


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    package = Path(megbuild.worker.__file__).parent
    shutil.copytree(package, tmp_path / "code/megbuild_worker", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in {
        "code/rules/plus/worker.py": WORKER,
        "code/rules/plus/beside.py": 'TEXT = "beside "\n',
        "code/toolchains/some/shared.py": 'TEXT = "shared"\n',
        "in/source/user.py": "def fail():\n    assert 1 > 2, 'one is not more'\n",
        # A user's module may have the name of one of megbuild's own.
        "in/source/samples.py": "raise SystemExit('never imported')\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def run(stage: Path, function: str, inputs: dict[str, list[str]], outputs: dict[str, list[str]], **options: Any) -> Any:
    request = {
        "function": function,
        "worker": "code/rules/plus/worker.py",
        "inputs": inputs,
        "outputs": outputs,
        "options": {"refuse": False, **options},
        "declared_inputs": [{"name": "x", "shape": [1, 4], "dtype": "float32", "range": [0, 1]}],
        "declared_results": [{"name": "y", "shape": [1, 4], "dtype": "float32"}],
        "settings": {},
    }
    (stage / "request.json").write_text(json.dumps(request))
    return subprocess.run(
        [sys.executable, "-B", "-s", "code/megbuild_worker/__main__.py", "request.json"],
        cwd=stage,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


BUILD = {"artifact": ["out/artifact/a.bin"], "io": ["out/io.json"]}


def test_build_expect_measure(stage: Path) -> None:
    assert run(stage, "build", {}, BUILD).returncode == 0
    assert json.loads((stage / "out/io.json").read_text())["inputs"][0]["name"] == "x"
    np.save(stage / "in/s.npy", np.eye(4, dtype="float32"))
    built = {"artifact": ["out/artifact/a.bin"], "samples": ["in/s.npy"]}
    assert run(stage, "expect", built, {"results": ["out/results"], "golden": ["out/golden"]}).returncode == 0
    assert np.load(stage / "out/results/y.npy").shape == (4, 1, 4)
    done = run(stage, "measure", {**built, "expected": ["out/results/y.npy"]}, {"measures": ["out/measures.json"]})
    assert done.returncode == 0, done.stderr
    text = (stage / "out/measures.json").read_text()
    measures = json.loads(text)
    assert measures["results"]["y"]["sqnr_db"] == {"sample": 0, "worst": 1000.0}
    assert text == json.dumps(measures, indent=1, sort_keys=True) + "\n"
    assert not list((stage / "code").rglob("*.pyc"))


def test_a_refusal_is_one_line_and_status_3(stage: Path) -> None:
    done = run(stage, "build", {}, BUILD, refuse=True)
    assert done.returncode == 3
    assert (stage / "out/refusal.txt").read_text() == "no, because of this\n"
    assert done.stderr.endswith("refused: no, because of this\n")


def test_an_assertion_of_the_user_s_code_shows_the_user_s_frames_only(stage: Path) -> None:
    done = run(stage, "train", {}, {"artifact": ["out/artifact/a.weights"]})
    assert done.returncode == 1
    assert (
        done.stderr
        == textwrap.dedent(
            f"""\
        Traceback (most recent call last):
          File "{stage}/in/source/user.py", line 2, in fail
            assert 1 > 2, 'one is not more'
        """
        )
        + ("           ^^^^^\n" if "^^^^^" in done.stderr else "")
        + "AssertionError: one is not more\n"
    )


def test_python_3_9_can_compile_every_module() -> None:
    import ast

    for path in Path(megbuild.worker.__file__).parent.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))
