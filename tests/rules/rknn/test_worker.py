"""The worker with a stand-in for the toolkit's process: what it asks for, what it makes of the answers."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import megbuild.worker.job
import megbuild.worker.samples
from megbuild.worker.job import Job, Refusal, Tensor
from megbuild.worker.load import load

RULE = Path(__file__).resolve().parents[3] / "rules" / "rknn"

COMPILER = """
import json, os, struct
from pathlib import Path

request = json.loads(Path("compile.json").read_text())
number = int(Path.cwd().name)
fill = int(os.environ.get("MEGBUILD_FILL", "77"), 16)
failure, near = "", 0
BEHAVE
base = 0x7f0000000000 + (0 if near else number * 0x412345000)
address = base + 0x1234
payload = b"model..." + struct.pack("<Q", address) + bytes([fill]) * 8
footer = json.dumps({
    "graph": [{"left": "input", "right_tensor_id": 0}, {"left": "output", "right_tensor_id": 1}],
    "norm_tensor": [
        {"tensor_id": 1, "url": "prob", "size": [1, 2], "dtype": {"vx_type": ""}},
        {"tensor_id": 0, "url": "data", "size": [1, 3], "dtype": {"vx_type": "int8"}},
    ],
}).encode()
head = b"RKNN" + bytes(4) + struct.pack("<QQ", 6, len(payload)) + bytes(40)
Path(request["output"]).write_bytes(head + payload + struct.pack("<Q", len(footer)) + footer)
Path("compiled.json").write_text(json.dumps({"failure": failure, "spans": [[base, base + 65536]]}))
"""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    monkeypatch.setitem(sys.modules, "megbuild_worker", megbuild.worker)
    for name in ("job", "samples"):
        monkeypatch.setitem(sys.modules, f"megbuild_worker.{name}", importlib.import_module(f"megbuild.worker.{name}"))
    before = set(sys.modules)
    loaded = load(RULE / "worker.py")
    prefix = tmp_path / "toolchain"
    (prefix / "lib/megbuild").mkdir(parents=True)
    (prefix / "lib/megbuild/fill.so").write_bytes(b"")  # the dynamic linker passes over it with a warning
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(loaded, "_names", lambda job: (["data"], ["prob"]))
    behave(loaded, tmp_path, monkeypatch)
    yield loaded
    for name in set(sys.modules) - before:
        del sys.modules[name]


def behave(worker: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str = "") -> None:
    """The stand-in does ``how`` between reading its request and writing its file."""
    program = folder / "compiler.py"
    program.write_text(COMPILER.replace("BEHAVE", textwrap.dedent(how)))
    monkeypatch.setattr(worker.toolkit, "__file__", str(program))


def job(folder: Path, **options: Any) -> Job:
    (folder / "model.onnx").write_bytes(b"")
    np.save(folder / "calibration.npy", np.arange(6, dtype="float32").reshape(2, 3))
    chosen = {"target": "rk3588", "precision": "fp16", "optimization_level": 3, "canonical": True, **options}
    return Job(
        function="build",
        worker="",
        inputs={"onnx": [folder / "model.onnx"], "calibration": [folder / "calibration.npy"]},
        outputs={"artifact": [folder / "out.rknn"], "notes": [folder / "notes.json"]},
        options=SimpleNamespace(**chosen),
        declared_inputs=(Tensor("data", (1, 3), "float32"),),
        declared_results=(Tensor("prob", (1, 2), ""),),
        settings={},
        folder=folder,
    )


def test_addresses_and_fills_are_gone(worker, tmp_path):
    worker.build(job(tmp_path))
    parsed = worker.canonical.parse((tmp_path / "out.rknn").read_bytes())
    assert parsed.head[64:] == b"model..." + bytes(16)
    notes = json.loads((tmp_path / "notes.json").read_text())
    assert notes == {"canonical": True, "address_words": 2, "never_set_bytes": 8, "int8": ["data"]}


def test_raw_files_are_compiled_once_and_kept(worker, tmp_path):
    worker.build(job(tmp_path, canonical=False))
    parsed = worker.canonical.parse((tmp_path / "out.rknn").read_bytes())
    assert parsed.head[64:72] == b"model..." and parsed.head[80:] == b"\x77" * 8
    assert json.loads((tmp_path / "notes.json").read_text()) == {"canonical": False, "int8": ["data"]}


def test_calibration_samples_are_listed_one_a_line(worker, tmp_path):
    assert worker.dataset(job(tmp_path), tmp_path) is None
    assert worker.dataset(job(tmp_path, precision="int8"), tmp_path) == "calibration.txt"
    lines = (tmp_path / "calibration.txt").read_text().splitlines()
    assert [np.load(tmp_path / line).tolist() for line in lines] == [[[0, 1, 2]], [[3, 4, 5]]]


def test_int8_compiles_with_the_samples(worker, tmp_path, monkeypatch):
    behave(worker, tmp_path, monkeypatch, "assert Path(request['dataset']).is_file()")
    worker.build(job(tmp_path, precision="int8", target="rk3566"))
    behave(worker, tmp_path, monkeypatch, "assert request['dataset'] is None")
    worker.build(job(tmp_path))


def test_compilations_see_nothing_of_the_machine(worker, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    behave(worker, tmp_path, monkeypatch, "assert 'SECRET' not in os.environ and os.environ['PYTHONHASHSEED'] == '0'")
    worker.build(job(tmp_path))


def test_addresses_that_could_coincide_ask_for_another_compilation(worker, tmp_path, monkeypatch):
    behave(worker, tmp_path, monkeypatch, "near = number < 5")
    worker.build(job(tmp_path))
    behave(worker, tmp_path, monkeypatch, "near = True")
    with pytest.raises(Refusal, match="same address every time: set canonical = false"):
        worker.build(job(tmp_path))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_small_chips_take_int8_only(worker, tmp_path, precision):
    for target in worker.INT8_ONLY:
        if precision == "int8":
            worker.build(job(tmp_path, precision=precision, target=target))
        else:
            with pytest.raises(Refusal, match='int8 only: set precision = "int8"'):
                worker.build(job(tmp_path, precision=precision, target=target))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("print('E RKNN: Unkown op target: 0'); failure = 'build returned -1'", r"fp16: build returned -1$"),
        (
            "print('\\x1b[1;31mE\\x1b[0m \\x1b[1;31mbuild: no such op\\x1b[0m'); failure = 'build returned -1'",
            "-1 .*: no such op",
        ),
        ("os.abort()", "ended by SIGABRT"),
        ("raise SystemExit(3)", "exited with status 3"),
        ("raise SystemExit(0)", "exited with status 0"),
        ("request['output'] = os.devnull", "wrote no file"),
        ("os.environ['X'] = ''; fill = number", "differently every time: .* no address"),
    ],
)
def test_what_goes_wrong_is_one_sentence(worker, tmp_path, monkeypatch, how, said):
    behave(worker, tmp_path, monkeypatch, how)
    with pytest.raises(Refusal, match=said) as raised:
        worker.build(job(tmp_path))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.rknn").exists()


def test_a_toolchain_without_the_library_is_refused(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "elsewhere"))
    with pytest.raises(Refusal, match="incomplete"):
        worker.build(job(tmp_path))
    worker.build(job(tmp_path, canonical=False))


def test_other_types_than_float32_are_refused(worker, tmp_path):
    with pytest.raises(Refusal, match='"ids" is int64'):
        asked = job(tmp_path)
        worker.build(Job(**{**vars(asked), "declared_inputs": (Tensor("ids", (1, 3), "int64"),)}))


def test_inputs_and_results_are_read_back(worker, tmp_path):
    worker.build(job(tmp_path))
    described = worker.describe([tmp_path / "out.rknn"])
    assert [(t.name, t.shape) for t in described["inputs"]] == [("data", (1, 3))]
    assert [(t.name, t.shape) for t in described["results"]] == [("prob", (1, 2))]


class Simulator:
    """Adds one to the first two values."""

    def inference(self, inputs: list[Any], data_format: list[str]) -> list[Any]:
        assert data_format == ["nchw"]
        return [inputs[0][:, :2] + 1]


def test_samples_are_simulated_and_the_file_is_checked(worker, tmp_path, monkeypatch):
    asked = job(tmp_path)
    worker.build(asked)
    monkeypatch.setattr(worker.toolkit, "built", lambda *arguments: Simulator())
    monkeypatch.setattr(worker.toolkit, "simulator", lambda built: None)
    feeds = [{"data": np.full((1, 3), number, "float32")} for number in range(3)]
    here = Path.cwd()
    results = list(worker.run([tmp_path / "out.rknn"], feeds, asked))
    assert [result["prob"].tolist() for result in results] == [[[1, 1]], [[2, 2]], [[3, 3]]]
    assert Path.cwd() == here

    changed = (tmp_path / "out.rknn").read_bytes().replace(b"model", b"other")
    (tmp_path / "out.rknn").write_bytes(changed)
    with pytest.raises(Refusal, match="not what its ONNX file compiles to"):
        next(worker.run([tmp_path / "out.rknn"], feeds, asked))
    (tmp_path / "out.rknn").write_bytes(changed[:-1])
    with pytest.raises(Refusal, match=r"not a \.rknn file"):
        next(worker.run([tmp_path / "out.rknn"], feeds, asked))


def test_a_simulator_that_fails_is_one_sentence(worker, tmp_path, monkeypatch):
    asked = job(tmp_path)
    worker.build(asked)

    def fail(*arguments: Any) -> None:
        raise worker.toolkit.Failure("init_runtime returned -1")

    monkeypatch.setattr(worker.toolkit, "built", fail)
    here = Path.cwd()
    with pytest.raises(Refusal, match="cannot simulate this model: init_runtime returned -1"):
        next(worker.run([tmp_path / "out.rknn"], [], asked))
    assert Path.cwd() == here
