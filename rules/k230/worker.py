"""Compiles ONNX for Canaan's K230 and runs it in the vendor's simulator. Runs inside the k230 toolchain."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker import numbered, samples
from megbuild_worker.job import Description, Job, Refusal, Tensor

from . import compiler, kmodel


def build(job: Job) -> None:
    """Compiles in a process and a folder of its own; refuses a quantised file of which the KPU computes nothing."""
    names = numbered.of_onnx(job.input("onnx"))
    with tempfile.TemporaryDirectory() as scratch:
        content = _compiled(job, names["inputs"], Path(scratch))
    try:
        kinds = kmodel.kinds(content)
    except kmodel.Malformed as malformed:
        raise Refusal(f"nncase wrote a file that is not a .kmodel: {malformed}") from malformed
    if job.options.precision != "fp32" and set(kinds) == {kmodel.CPU}:
        raise Refusal(f"nothing of this model runs on the KPU in {job.options.precision}: all of it stays on the CPU")
    job.output("artifact").write_bytes(content)
    numbered.write(job.output("artifact"), names)


def _compiled(job: Job, inputs: list[str], folder: Path) -> bytes:
    options = job.options
    (folder / "model.onnx").symlink_to(job.input("onnx"))
    if options.precision != "fp32":
        feeds = list(samples.feeds(job.declared_inputs, job.inputs["calibration"]))
        np.savez(folder / "calibration.npz", **{name: np.stack([feed[name] for feed in feeds]) for name in inputs})
    request = {"precision": options.precision, "calibrate_method": options.calibrate_method, "inputs": inputs}
    (folder / "compile.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-B", "-s", str(Path(compiler.__file__).resolve())], cwd=folder, text=True, errors="replace",
        env={**os.environ, "HOME": ".", "TMPDIR": "."}, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    made = folder / "model.kmodel"
    if done.returncode or not made.is_file():
        raise Refusal(f"nncase cannot compile this model for K230 in {options.precision}: {_said(done)}")
    return made.read_bytes()


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """The reason that nncase gives: the first exception of .NET, which wraps others, or the last line of a traceback."""
    found = re.search(r"Unhandled exception\. (.+)", done.stderr)
    lines = done.stderr.strip().splitlines()
    said = found[1] if found else lines[-1] if lines else f"it exited with status {done.returncode}"
    return re.sub(r"\b(?:System|Nncase)\.(?:\w+\.)*(\w+Exception): ", "", said).strip()


def describe(paths: Sequence[Path]) -> Description:
    """Reads types and shapes by the simulator; the file has no names, which stand beside it in the same order."""
    simulator, names = _simulator(paths[0]), numbered.read(paths[0])
    return {
        "inputs": _tensors(names["inputs"], simulator.inputs_size, simulator.get_input_desc, simulator.get_input_shape),
        "results": _tensors(
            names["results"], simulator.outputs_size, simulator.get_output_desc, simulator.get_output_shape
        ),
    }


def _tensors(names: Sequence[str], count: int, describe_one: Any, shape: Any) -> list[Tensor]:
    if count != len(names):
        raise Refusal(f"nncase made {count} tensors of {', '.join(names)}")
    return [
        Tensor(name, tuple(int(n) for n in shape(number)), np.dtype(describe_one(number).dtype).name)
        for number, name in enumerate(names)
    ]


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file in the simulator, sample by sample; it leaves files in the current folder."""
    os.chdir(job.folder / "tmp")
    tensor = compiler.nncase().RuntimeTensor.from_numpy
    return numbered.simulated(_simulator(paths[0]), tensor, numbered.read(paths[0]), feeds)


def _simulator(path: Path) -> Any:
    simulator = compiler.nncase().Simulator()
    simulator.load_model(Path(path).read_bytes())
    return simulator


def runtime() -> str:
    """The simulator and its version."""
    return f"nncase {metadata.version('nncase')} K230 simulator"
