"""Compiles ONNX for Sophgo's chips and runs it in the vendor's simulators. Runs inside the tpu_mlir toolchain."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker import numbered, samples
from megbuild_worker.job import Description, Job, Refusal, Tensor

from . import simulate, tools

CHIPS = {".bmodel": "bm1684x", ".cvimodel": "cv181x"}
QUANTISATION = {"fp32": "F32", "fp16": "F16", "bf16": "BF16", "int8": "INT8"}
AT_ONCE = 256
"""Samples that one process of the simulator runs; it holds their results in memory."""
SIMULATE = Path(simulate.__file__).resolve()


def build(job: Job) -> None:
    """Compiles in a folder of its own, where the tools leave much."""
    artifact = job.output("artifact")
    names = numbered.of_onnx(job.input("onnx"))
    with tempfile.TemporaryDirectory() as scratch:
        made = _compiled(job, names["inputs"], Path(scratch), artifact.suffix)
        artifact.write_bytes(made.read_bytes())
    axes = {tensor.name: len(tensor.shape) for tensor in (*job.declared_inputs, *job.declared_results)}
    numbered.write(artifact, {**names, "axes": axes})


def _compiled(job: Job, inputs: Sequence[str], folder: Path, suffix: str) -> Path:
    chip, precision = CHIPS[suffix], job.options.precision
    what = f"tpu-mlir cannot compile this model for {chip} in {precision}"
    (folder / "model.onnx").symlink_to(job.input("onnx"))
    shapes = {tensor.name: list(tensor.shape) for tensor in job.declared_inputs}
    given = json.dumps([shapes[name] for name in inputs], separators=(",", ":"))
    transform = ["--model_name", "model", "--model_def", "model.onnx", "--input_shapes", given, "--mlir", "model.mlir"]
    tools.run("model_transform", transform, folder, what)
    deploy = ["--mlir", "model.mlir", "--quantize", QUANTISATION[precision], "--chip", chip, "--model", f"made{suffix}"]
    if precision == "int8":
        count = str(_calibration(job, folder / "calibration"))
        calibrate = ["model.mlir", "--dataset", "calibration", "--input_num", count, "-o", "ranges"]
        tools.run("run_calibration", calibrate, folder, what)
        deploy += ["--calibration_table", "ranges"]
    tools.run("model_deploy", deploy, folder, what)
    made = folder / f"made{suffix}"
    if not made.is_file():
        raise Refusal(f"{what}: it wrote no file")
    return made


def _calibration(job: Job, folder: Path) -> int:
    """Writes one file a sample; how many there are."""
    folder.mkdir()
    count = 0
    for feed in samples.feeds(job.declared_inputs, job.inputs["calibration"]):
        np.savez(folder / f"{count:06}.npz", **feed)
        count += 1
    return count


def describe(paths: Sequence[Path]) -> Description:
    """Reads types and shapes by the simulator; the declared names stand beside the file, in its order."""
    names = numbered.read(paths[0])
    with tempfile.TemporaryDirectory() as scratch:
        tools.simulate(SIMULATE, [str(paths[0]), "described"], Path(scratch))
        told = json.loads(Path(scratch, "described").read_text())
    return {kind: _tensors(names[kind], told[kind], names["axes"]) for kind in ("inputs", "results")}


def _tensors(names: Sequence[str], told: Sequence[dict[str, Any]], axes: dict[str, int]) -> list[Tensor]:
    if len(told) != len(names):
        raise Refusal(f"tpu-mlir made {', '.join(t['name'] for t in told)} of {', '.join(names)}")
    return [Tensor(name, _shape(t["shape"], axes[name]), t["dtype"]) for name, t in zip(names, told)]


def _shape(stored: Sequence[int], axes: int) -> tuple[int, ...]:
    """A .cvimodel gives every tensor four axes: those behind the declared ones are 1 and do not count."""
    return tuple(stored[:axes]) if set(stored[axes:]) <= {1} else tuple(stored)


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file in the simulator of its chip, so many samples in a process."""
    names = numbered.read(paths[0])
    shapes = {tensor.name: tensor.shape for tensor in job.declared_results}
    rest = iter(feeds)
    while group := list(islice(rest, AT_ONCE)):
        with tempfile.TemporaryDirectory() as scratch:
            given = {str(n): np.stack([feed[name] for feed in group]) for n, name in enumerate(names["inputs"])}
            np.savez(Path(scratch, "feeds.npz"), **given)
            tools.simulate(SIMULATE, [str(paths[0]), "feeds.npz", "results.npz"], Path(scratch))
            with np.load(Path(scratch, "results.npz")) as arrays:
                made = {name: arrays[str(number)] for number, name in enumerate(names["results"])}
        for number in range(len(group)):
            yield {name: array[number].reshape(shapes[name]) for name, array in made.items()}


def runtime() -> str:
    """The simulators and their version."""
    return f"tpu-mlir {metadata.version('tpu_mlir')} simulator"
