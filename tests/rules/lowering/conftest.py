"""One process of the mgeconvert toolchain answers all cells that this session asks for; each cell is a test."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from megbuild.declare import toolchains
from megbuild.declare.rules import builtin_rules_folder
from megbuild.execute.toolchains import Installed, provision
from megbuild.store.places import cache_folder

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
FORMATS = ("onnx", "tflite", "caffe")
ENOUGH = 1e-4


@dataclass(frozen=True)
class Cell:
    """One network in one format: ``refused`` are words of the reason where the format cannot hold it."""

    case: str
    format: str
    refused: str = ""
    lowering: str = "concrete"
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def asked(self) -> list[Any]:
        """What the driver is asked for."""
        return [self.case, self.format, self.lowering, self.options]

    def __str__(self) -> str:
        said = "".join(f"-{name}{value}" for name, value in self.options.items())
        return f"{self.case}-{self.format}{said}" + ("" if self.lowering == "concrete" else f"-{self.lowering}")


def cells() -> Iterator[Cell]:
    """Every case in every format, read from the text of the cases: MegEngine is not installed here."""
    for path in sorted((HERE / "cases").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for call in getattr(node, "decorator_list", []):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "case":
                    said = next((keyword.value for keyword in call.keywords if keyword.arg == "refused"), None)
                    refused = ast.literal_eval(said) if said else {}
                    yield from (Cell(f"{path.stem}.{node.name}", format, refused.get(format, "")) for format in FORMATS)


Answers = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What the driver answered, by the name of the cell."""
    return _answers(request, shared_folder(tmp_path_factory))


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one driver: below it are a folder for each case, with its files and ``arrays.npz``."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lowering"
    folder.mkdir(exist_ok=True)
    return folder


def _answers(request: pytest.FixtureRequest, folder: Path) -> Answers:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "answers").exists():
            ask(folder, _asked_for(request.session))
    return _read(folder)


def _name(answer: dict[str, Any]) -> str:
    return str(Cell(answer["case"], answer["format"], "", answer["lowering"], answer["options"]))


def _asked_for(session: pytest.Session) -> list[Cell]:
    """The cells of the tests that were selected, each once."""
    found: dict[str, Cell] = {}
    for item in session.items:
        for value in getattr(getattr(item, "callspec", None), "params", {}).values():
            for cell in value if isinstance(value, tuple) else (value,):
                if isinstance(cell, Cell):
                    found[str(cell)] = cell
    return list(found.values())


def in_toolchain(
    script: str, arguments: list[str], folder: Path, seed: str = "0", toolchain_name: str = "mgeconvert"
) -> None:
    """Runs a script of this folder with a toolchain's Python in ``folder``; its output is in ``log``."""
    toolchain = _toolchain(toolchain_name)
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": seed}
    environment |= {**toolchain.environment, "TQDM_DISABLE": "1"}
    command = [toolchain.python, "-B", "-s", str(HERE / script), *arguments]
    with (folder / "log").open("w") as log:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        pytest.fail(f"{script} ended with status {done.returncode}:\n" + (folder / "log").read_text()[-4000:])


def ask(folder: Path, asked: list[Cell], seed: str = "0") -> Answers:
    """Has the driver answer cells; ``seed`` is Python's hash seed."""
    request = {"repository": str(REPOSITORY), "scratch": str(folder), "cells": [cell.asked for cell in asked]}
    (folder / "request.json").write_text(json.dumps(request))
    in_toolchain("driver.py", ["request.json", "answers.partial"], folder, seed)
    (folder / "answers.partial").rename(folder / "answers")
    return _read(folder)


def _read(folder: Path) -> Answers:
    rows = [json.loads(line) for line in (folder / "answers").read_text().splitlines()]
    return {_name(row): row for row in rows}


def _toolchain(name: str) -> Installed:
    """A toolchain, where the user has it (``MEGBUILD_TEST_CACHE``, else the ordinary cache)."""
    described = toolchains.describe(name, toolchains.folders(builtin_rules_folder()))
    cache = Path(os.environ.get("MEGBUILD_TEST_CACHE") or cache_folder())
    return provision(described, cache, lambda line: None)
