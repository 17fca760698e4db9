"""The graph that is measured: N models of four actions in a monorepo of many packages.

Per model: its source and one file that all models share -> .ftm -> .fmge and .fonnx; .fonnx -> .frknn. The converters
are rules of the workspace that copy, so that a build costs what the build tool costs. megbuild publishes what the
model declares, .fmge and .frknn, each with a record; the two formats in between stay in its store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHARED = "common.txt"
"""Every model reads it."""
ACTIONS = 4
"""Conversions per model."""
STEPS = {"ftm": "source", "fmge": "ftm", "fonnx": "ftm", "frknn": "fonnx"}
"""Of every format: what it is made from."""
HARDWARE = {"server": "fmge", "npu": "frknn"}
"""The outputs of every model with their formats."""

RULE = """\
from megbuild.rule import Rule

RULE = Rule(consumes="{consumes}", produces="{produces}", files=(".{produces}",), toolchain="copy")
"""
WORKER = """\
import json

from megbuild_worker.job import Tensor


def build(job):
    said = {kind: [[t.name, t.shape, t.dtype] for t in getattr(job, f"declared_{kind}")] for kind in ("inputs", "results")}
    job.output("artifact").write_text(json.dumps(said))


def describe(paths):
    said = json.loads(paths[0].read_text())
    return {kind: [Tensor(name, tuple(shape), dtype) for name, shape, dtype in said[kind]] for kind in said}
"""
SOURCE = '''\
"""Network {name} of {package}."""


def build():
    scale = {number}
    return [scale, "{filler}"]
'''
MODEL = """\
[models.{name}]
source  = "{name}.py:build"
data    = ["//common.txt"]
inputs  = [{{ name = "data", shape = [1, 3, 224, 224], dtype = "float32", range = [-1.0, 1.0] }}]
results = [{{ name = "prob", shape = [1, 1000] }}]
[models.{name}.outputs.server]
[models.{name}.outputs.npu]
verify = {{ cosine = 0.99 }}

"""


@dataclass(frozen=True)
class Model:
    """One model: where it is declared, and its name."""

    package: str
    name: str

    @property
    def source(self) -> str:
        """Its training code, relative to the workspace."""
        return f"{self.package}/{self.name}.py"


def models(count: int, per_package: int = 100) -> Iterator[Model]:
    """The models in order; a hundred stand in one MODELS.toml."""
    for number in range(count):
        yield Model(f"team{number // per_package:04d}", f"m{number:06d}")


def lay_out(root: Path, count: int, per_package: int = 100) -> None:
    """Write the workspace into an empty folder."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "MODELS.toml").write_text('workspace = true\nignore = ["made"]  # by the other build tools\n')
    (root / SHARED).write_text("common\n" * 585)
    _rules(root)
    declared: dict[str, list[str]] = {}
    for number, model in enumerate(models(count, per_package)):
        if model.package not in declared:
            declared[model.package] = []
            (root / model.package).mkdir()
        declared[model.package].append(MODEL.format(name=model.name))
        text = SOURCE.format(name=model.name, package=model.package, number=number, filler="x" * 3900)
        (root / model.source).write_text(text)
    for package, tables in declared.items():
        (root / package / "MODELS.toml").write_text("".join(tables))


def _rules(root: Path) -> None:
    for produces, consumes in STEPS.items():
        folder = root / "rules" / produces
        folder.mkdir(parents=True)
        (folder / "rule.py").write_text(RULE.format(consumes=consumes, produces=produces))
        (folder / "worker.py").write_text(WORKER)
    toolchain = root / "rules/toolchains/copy"
    toolchain.mkdir(parents=True)
    (toolchain / "toolchain.toml").write_text('python = "3.9"\nsummary = "nothing but Python"\n')
    (toolchain / "requirements.lock").write_text("")
    devices = [f'[{name}]\nformat = "{wanted}"\nruns_here = false\n' for name, wanted in HARDWARE.items()]
    (root / "HARDWARE.toml").write_text("".join(devices))
