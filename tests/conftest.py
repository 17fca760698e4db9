"""A toy workspace whose actions run in this process, so that builds take milliseconds and need no SDK."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from megbuild import pipeline
from megbuild.cli.schedule import Scheduler
from megbuild.execute import local
from megbuild.execute.builder import Done, Ran
from megbuild.execute.failure import ActionFailed
from megbuild.execute.report import Row
from megbuild.execute.staging import collect, stage
from megbuild.execute.turns import ROOM, Machine, Places
from megbuild.graph.actions import Action, Outputs
from megbuild.graph.code import Code
from megbuild.graph.fingerprint import Fingerprint
from megbuild.graph.reasons import Reason
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest

TOY_RULES = {
    "trace/rule.py": """
        from megbuild.rule import Rule
        RULES = (
            Rule(consumes="training", produces="weights", files=(".weights",), toolchain="megengine", function="train"),
            Rule(consumes="source", produces="tm", files=(".tm",), toolchain="megengine",
                 needs=lambda options: ("weights",), runs_on=("MegEngine",)),
        )
    """,
    "mge/rule.py": """
        from megbuild.rule import Option, Rule
        RULE = Rule(consumes="tm", produces="mge", files=(".mge",), toolchain="megengine", runs_on=("Lite",),
                    options={"layout": Option("default", choices=("default", "nchw44"))})
    """,
    "onnx/rule.py": """
        from megbuild.rule import Option, Rule
        RULE = Rule(consumes="tm", produces="onnx", files=(".onnx",), toolchain="convert", runs_on=("onnxruntime",),
                    options={"opset": Option(12, range=(7, 12)), "clip": Option(0.5)})
    """,
    "to_caffe/rule.py": """
        from megbuild.rule import Rule
        RULE = Rule(consumes="tm", produces="caffe", files=(".prototxt", ".caffemodel"), toolchain="convert",
                    runs_on=("OpenCV",))
    """,
    "npu/rule.py": """
        from megbuild.rule import Option, Rule
        RULE = Rule(consumes=("onnx", "caffe"), produces="npu", files=(".npu",), toolchain="convert",
                    options={"precision": Option("fp16", choices=("fp16", "int8")), "target": Option("a")},
                    needs=lambda o: ("calibration",) if o.precision == "int8" else (),
                    requires={"onnx": {"opset": 12}}, runs_on=("simulator",), runs_from_inputs=True)
    """,
    **{f"{name}/worker.py": "" for name in ("trace", "mge", "onnx", "to_caffe", "npu")},
    **{f"toolchains/{name}/toolchain.toml": 'python = "3.9"\n' for name in ("megengine", "convert")},
    **{f"toolchains/{name}/requirements.lock": "" for name in ("megengine", "convert")},
    "hardware.toml": """
        [x86]
        format = "mge"
        [arm64]
        format = "mge"
        options = { layout = "nchw44" }
        runs_here = false
        [onnx]
        format = "onnx"
        [caffe]
        format = "caffe"
        [chip]
        format = "npu"
        options = { target = "b" }
    """,
}

TOY_MODELS = {
    "MODELS.toml": """
        workspace = true
        [models.net]
        source = "net.py:build"
        train = "train.py:train"
        inputs = [{ name = "data", shape = [1, 3] }]
        results = [{ name = "prob", shape = [1, 10] }]
        samples = "samples/*.npy"
        [models.net.outputs.x86]
        [models.net.outputs.onnx]
        [models.net.outputs.chip]
    """,
    "net.py": "def build(weights): return 1\n",
    "train.py": "def train(path): pass\n",
    "samples/0.npy": "zero",
}

GOOD: dict[str, Any] = {
    "samples": 4,
    "synthetic": False,
    "runtime": "toy 1",
    "accuracy": None,
    "reference_accuracy": None,
    "results": {
        "prob": {
            "cosine": {"worst": 1.0, "sample": 0},
            "scale": {"worst": 1.0, "sample": 0},
            "max_abs": {"worst": 0.0, "sample": 0},
            "sqnr_db": {"worst": 1000.0, "sample": 0},
            "top1": {"agreement": 1.0, "sample": -1},
            "top5": {"agreement": 1.0, "sample": -1},
            "not_finite": {"count": 0, "sample": -1},
        }
    },
}
"""The measures of a perfect conversion."""


def write_files(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


@dataclass
class Heard:
    """A listener that remembers."""

    started_: list[str] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def started(self, action: Action, reasons: tuple[Reason, ...]) -> None:
        self.started_.append(action.id)

    def finished(self, done: Done) -> None:
        self.done.append(done)

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class ToyRunner:
    """Runs an action in this process: its outputs are made of what is staged, by a hash."""

    toy: Toy
    content: ContentStore

    def run(self, action: Action, now: Fingerprint, places: Places = ROOM) -> Ran:
        folder = Path(tempfile.mkdtemp(dir=self.toy.scratch))
        try:
            stage(action, now, self.content, folder)
            with places.one() as waited:
                self.toy.ran.append(action.id)
                self.toy.work[action.id](action, folder)
            outputs = collect(action, now, self.content, folder)
            return Ran(outputs, self.content.put_bytes(b"log"), self.toy.memory, waited=waited)
        finally:
            shutil.rmtree(folder)

    def stop(self) -> None:
        self.toy.stopped = True

    @property
    def stopped(self) -> bool:
        return self.toy.stopped


@dataclass
class Toy:
    """The workspace, what ran in it, and how single actions behave."""

    root: Path
    scratch: Path
    cache: Path
    ran: list[str] = field(default_factory=list)
    stopped: bool = False
    memory: int = 1 << 20
    """What every action says it had, in bytes."""
    free: int = 1 << 40
    """What the machine has, in bytes."""
    salt: str = ""
    """Enters everything that is made: another one stands for a tool whose results differ every time."""
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Measures by the id of the action that makes them, where they are not good ones."""
    work: defaultdict[str, Callable[[Action, Path], None]] = field(init=False)

    def __post_init__(self) -> None:
        self.work = defaultdict(lambda: self.usual)

    def write(self, files: Mapping[str, str]) -> None:
        write_files(self.root, files)

    def usual(self, action: Action, folder: Path) -> None:
        request = json.loads((folder / "request.json").read_text())
        told = hashlib.sha256(self.salt.encode())
        for path in sorted((folder / "in").rglob("*")):
            if path.is_file():
                told.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
        told.update(json.dumps(request["options"]).encode())
        if request["function"] == "measure":
            (folder / "out/measures.json").write_text(json.dumps(self.measured.get(action.id, GOOD)))
        elif request["function"] == "expect":
            (folder / "out/results/prob.npy").write_text(told.hexdigest())
            for part in ("inputs/data.npy", "results/prob.npy"):
                (folder / "out/golden" / part).parent.mkdir(exist_ok=True)
                np.save(folder / "out/golden" / part, np.frombuffer(told.digest(), "uint8").astype("float32"))
        else:
            for path in (path for paths in request["outputs"].values() for path in paths):
                text = f"{path} {told.hexdigest()}"
                io = {"inputs": [], "results": [], "told": text}
                (folder / path).write_text(json.dumps(io) if path.endswith("io.json") else text)

    @staticmethod
    def bad(**worst: float) -> dict[str, Any]:
        """Good measures but for some values."""
        changed: dict[str, Any] = json.loads(json.dumps(GOOD))
        for metric, value in worst.items():
            changed["results"]["prob"][metric]["agreement" if metric.startswith("top") else "worst"] = value
        return changed

    def listen(self) -> Heard:
        self.heard = Heard()
        return self.heard

    def prepare(self, *labels: str) -> pipeline.Prepared:
        return pipeline.prepare(pipeline.Asked(labels, self.root), lambda text: None)

    def report(self, *labels: str, jobs: int = 1, keep_going: bool = False) -> pipeline.Report:
        self.ran.clear()
        asked, machine = pipeline.Asked(labels, self.root), Machine(jobs, self.free)
        return pipeline.build(asked, self.listen(), Scheduler(machine, keep_going))

    def build(self, *labels: str, jobs: int = 1, keep_going: bool = False) -> dict[str, Row]:
        return {row.label: row for row in self.report(*labels, jobs=jobs, keep_going=keep_going).rows}

    def reasons(self, id: str) -> str:
        return "; ".join(str(reason) for done in self.heard.done if done.action.id == id for reason in done.reasons)

    def lose(self, outputs: Outputs) -> None:
        """Remove contents from the store."""
        for digest in outputs.values():
            (self.cache / "store/cas" / digest.sha256[:2] / digest.sha256).unlink()

    def damage(self, digest: Digest) -> None:
        """Change a content in the store, keeping its size."""
        path = self.cache / "store/cas" / digest.sha256[:2] / digest.sha256
        path.chmod(0o644)
        path.write_bytes(b"x" * digest.size)

    def outputs(self, id: str) -> Outputs:
        """What an action made last."""
        return self.prepare().memory.last_outputs(id)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    toy = Toy(tmp_path / "ws", tmp_path / "scratch", tmp_path / "cache")
    toy.scratch.mkdir()
    write_files(tmp_path / "builtin", TOY_RULES)
    toy.write(TOY_MODELS)
    monkeypatch.setenv("MEGBUILD_CACHE", str(toy.cache))
    monkeypatch.setattr("megbuild.declare.rules.builtin_rules_folder", lambda: tmp_path / "builtin")
    write_files(tmp_path / "worker", {"__main__.py": ""})  # a fixed one: keys cover it
    monkeypatch.setattr(pipeline, "CODE", Code(str(tmp_path / "worker"), ()))
    monkeypatch.setattr(local, "Local", lambda *arguments: ToyRunner(toy, arguments[3]))
    return toy


Work = Callable[[Action, Path], None]


class Gate:
    """Holds actions until several of them are there."""

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties, timeout=60)

    def held(self, work: Work) -> Work:
        def waiting(action: Action, folder: Path) -> None:
            self.barrier.wait()
            work(action, folder)

        return waiting


@pytest.fixture
def gate() -> type[Gate]:
    return Gate


@pytest.fixture
def fails() -> Work:
    def failing(action: Action, folder: Path) -> None:
        raise ActionFailed(action.id, "it broke")

    return failing


@pytest.fixture
def refuses() -> Work:
    def refusing(action: Action, folder: Path) -> None:
        raise ActionFailed(action.id, "no such operator", refused=True)

    return refusing
