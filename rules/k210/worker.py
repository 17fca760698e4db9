"""Compiles ONNX for Canaan's K210 and runs it in the vendor's simulator. Runs inside the k210 toolchain."""

from __future__ import annotations

import json
import os
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

from . import canonical, compiler

FILLS = ("0", "165")
"""MALLOC_PERTURB_ of the two compilations: memory as it comes, and filled. What differs then is told apart from a result."""


def build(job: Job) -> None:
    """Compiles twice, each time in a process and a folder of its own; the canonical files must be equal."""
    names = numbered.of_onnx(job.input("onnx"))
    with tempfile.TemporaryDirectory() as scratch:
        request = _request(job, names["inputs"], Path(scratch))
        started = [_started(Path(scratch), request, job, fill) for fill in FILLS]
        ended = [(process, *process.communicate()) for process in started]
        first, second = (_made(job, Path(scratch, fill), *end) for fill, end in zip(FILLS, ended))
    if first != second:
        raise Refusal("nncase compiles this model differently every time, beyond the bits that it never sets")
    on_kpu = canonical.KPU in [kind for kind, _, _ in canonical.modules(first)]
    if job.options.precision != "fp32" and not on_kpu:
        raise Refusal(
            "nothing of this model runs on the KPU, which takes convolutions of 1x1 and 3x3: all is for the CPU"
        )
    job.output("artifact").write_bytes(first)
    numbered.write(job.output("artifact"), names)


def _request(job: Job, inputs: list[str], folder: Path) -> dict[str, Any]:
    """What to compile; calibration samples are written to ``folder``, input by input."""
    count = 0
    if job.options.precision != "fp32":
        feeds = list(samples.feeds(job.declared_inputs, job.inputs["calibration"]))
        count = len(feeds)
        content = b"".join(np.ascontiguousarray(feed[name]).tobytes() for name in inputs for feed in feeds)
        (folder / "calibration.bin").write_bytes(content)
    return {"samples": count, "calibrate_method": job.options.calibrate_method}


def _started(scratch: Path, request: dict[str, Any], job: Job, fill: str) -> subprocess.Popen[str]:
    folder = scratch / fill
    folder.mkdir()
    (folder / "model.onnx").symlink_to(job.input("onnx"))
    (folder / "calibration.bin").symlink_to(scratch / "calibration.bin")
    (folder / "compile.json").write_text(json.dumps(request))
    return subprocess.Popen(
        [sys.executable, "-B", "-s", str(Path(compiler.__file__).resolve())], cwd=folder, text=True, errors="replace",
        env={**os.environ, "MALLOC_PERTURB_": fill}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def _made(job: Job, folder: Path, process: subprocess.Popen[str], said: str, complained: str) -> bytes:
    """The canonical file that a compilation made."""
    made = folder / "model.kmodel"
    if folder.name == FILLS[0] or process.returncode:
        print(said, complained)
    if process.returncode or not made.is_file():
        lines = complained.strip().splitlines()
        why = lines[-1].partition("RuntimeError: ")[2] or lines[-1] if lines else f"status {process.returncode}"
        raise Refusal(f"nncase cannot compile this model for K210 in {job.options.precision}: {why}")
    try:
        return canonical.canonicalise(made.read_bytes())
    except canonical.Malformed as malformed:
        raise Refusal(f"nncase wrote a file that is not a .kmodel: {malformed}") from malformed


def describe(paths: Sequence[Path]) -> Description:
    """Reads types and shapes by the simulator; the file has no names, which stand beside it in the same order."""
    simulator, names = _simulator(paths[0]), numbered.read(paths[0])
    return {
        "inputs": _tensors(names["inputs"], simulator.inputs_size, simulator.get_input_tensor),
        "results": _tensors(names["results"], simulator.outputs_size, simulator.get_output_tensor),
    }


def _tensors(names: Sequence[str], count: int, tensor: Any) -> list[Tensor]:
    if count != len(names):
        raise Refusal(f"nncase made {count} tensors of {', '.join(names)}")
    arrays = [tensor(number).to_numpy() for number in range(count)]
    return [Tensor(name, array.shape, array.dtype.name) for name, array in zip(names, arrays)]


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file in the simulator, sample by sample."""
    import nncase

    return numbered.simulated(_simulator(paths[0]), nncase.RuntimeTensor.from_numpy, numbered.read(paths[0]), feeds)


def _simulator(path: Path) -> Any:
    import nncase

    simulator = nncase.Simulator()
    simulator.load_model(Path(path).read_bytes())
    return simulator


def runtime() -> str:
    """The simulator and its version."""
    return f"nncase {metadata.version('nncase')} K210 simulator"
