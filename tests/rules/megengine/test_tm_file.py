"""A .tm is loaded by MegEngine itself without anything of it being run that is no part of a network."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def megengine() -> Installed:
    described = toolchains.describe("megengine", toolchains.folders(builtin_rules_folder()))
    return provision(described, Path(os.environ.get("MEGBUILD_TEST_CACHE") or cache_folder()), lambda line: None)


def run(megengine: Installed, folder: Path, *arguments: str) -> str:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "MGE_FASTRUN_CACHE_TYPE": "MEMORY"}
    done = subprocess.run(
        [megengine.python, "-B", "-s", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def answers(megengine: Installed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tm")
    said = run(megengine, folder, str(HERE / "driver.py"), str(REPOSITORY), str(folder))
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def test_nothing_ran(answers: dict[str, Any]) -> None:
    assert answers["ran"] is False


def test_every_harmful_file_is_refused(answers: dict[str, Any]) -> None:
    others = ("ran", "honest", "state of weights")
    loaded = {kind: said for kind, said in answers.items() if kind not in others and not said.startswith("refused")}
    assert loaded == {}
    assert len(answers) > 35


def test_an_honest_network_is_loaded(answers: dict[str, Any]) -> None:
    assert answers["honest"] == "loaded TracedModule"


def test_a_pair_that_is_computed_is_refused_by_name(answers: dict[str, Any]) -> None:
    assert "it names os" in answers["computed pair"]


@pytest.mark.parametrize("kind", ["graph with a method of Python's", "graph with an attribute of Python's"])
def test_a_graph_uses_nothing_of_pythons_own(answers: dict[str, Any], kind: str) -> None:
    assert "which is none of a network's" in answers[kind]


def test_training_code_loads_by_the_same_list_and_its_own_classes(answers: dict[str, Any]) -> None:
    assert answers["state of weights"] == ["Refusal", "Refusal", "OrderedDict", "OrderedDict", "Refusal", "Own"]


def test_the_list_is_made_from_megengine(megengine: Installed, tmp_path: Path) -> None:
    folder = REPOSITORY / "rules/toolchains/megengine"
    assert run(megengine, tmp_path, str(folder / "list_names.py")) == (folder / "pickle_names.txt").read_text("utf-8")
