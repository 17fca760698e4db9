"""Converts ONNX to ncnn and runs it on the CPU. Runs inside the ncnn toolchain."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker import samples
from megbuild_worker.job import Job, Refusal, Tensor

FOREIGN = re.compile(r"[.:]")
"""In the type of a layer that pnnx could not express in ncnn's own: pnnx.Expression, F.unfold, aten::sort."""
GIVEN = re.compile(r'ex\.input\("in(\d+)", .*batch_index=(\d+)\)')
"""In pnnx's example, an input's number and which of its axes is the batch, that ncnn leaves out. Any but 0: it found none, and all axes stay."""
SIZES = {1: ("0",), 2: ("1", "0"), 3: ("2", "1", "0"), 4: ("2", "11", "1", "0")}
"""The parameters of an Input layer that hold its axes, by their number: channels, depth, height, width."""


def build(job: Job) -> None:
    """Runs pnnx in a folder of its own, gives inputs and results their declared names, and loads the result once."""
    odd = [t.name for t in (*job.declared_inputs, *job.declared_results) if t.dtype not in ("", "float32")]
    odd += [t.name for t in job.declared_inputs if t.shape[:1] != (1,)]
    if odd:
        raise Refusal(f"ncnn takes float32 with 1 on the first axis, which these are not: {', '.join(odd)}")
    folder = job.folder / "tmp" / "pnnx"  # it writes beside what it reads
    folder.mkdir(parents=True)
    shutil.copyfile(job.input("onnx"), folder / "model.onnx")
    shapes = ",".join(str(list(tensor.shape)).replace(" ", "") for tensor in job.declared_inputs)
    fp16 = int(job.options.weights == "fp16")
    done = subprocess.run(
        [_program(), "model.onnx", f"inputshape={shapes}", f"fp16={fp16}"], cwd=folder, text=True, errors="replace",
        env={**os.environ, "HOME": str(folder)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    param, weights = folder / "model.ncnn.param", folder / "model.ncnn.bin"
    if done.returncode or not param.is_file() or not weights.is_file():
        raise Refusal(f"pnnx cannot convert this model: it exited with status {done.returncode}")
    text = param.read_text()
    foreign = sorted({line.split()[0] for line in text.splitlines()[2:] if FOREIGN.search(line.split()[0])})
    if foreign:
        raise Refusal(f"ncnn has no layer for {', '.join(foreign)} of this model")
    made, bin = job.outputs["artifact"]
    made.write_text(_named(text, _blobs(folder / "model_ncnn.py", job), job))
    shutil.copyfile(weights, bin)
    _check(job)


def _program() -> str:
    found = importlib.util.find_spec("pnnx")
    assert found and found.origin
    return str(Path(found.origin).parent / "pnnx")


def _blobs(example: Path, job: Job) -> dict[str, tuple[int, ...]]:
    """The shape of each input as ncnn takes it, without its batch axis where pnnx found that."""
    whole = {f"in{number}" for number, axis in GIVEN.findall(example.read_text()) if axis != "0"}
    inputs = {f"in{number}": tensor for number, tensor in enumerate(job.declared_inputs)}
    shapes = {own: t.shape if own in whole else t.shape[1:] or (1,) for own, t in inputs.items()}
    for own, shape in shapes.items():
        if len(shape) not in SIZES:
            raise Refusal(f'ncnn has no blobs of {len(shape)} axes, as "{inputs[own].name}" would be')
    return shapes


def _named(text: str, shapes: dict[str, tuple[int, ...]], job: Job) -> str:
    """The .param with the declared names in place of ``in0`` and ``out0``, and the shapes of inputs; any other blob that has one of the names gets another."""
    names = {f"in{number}": tensor.name for number, tensor in enumerate(job.declared_inputs)}
    names |= {f"out{number}": tensor.name for number, tensor in enumerate(job.declared_results)}
    taken = {name: f"{name}_inside" for name in names.values() if name not in names}
    magic, counts, *layers = text.splitlines()
    return "\n".join([magic, counts, *(_renamed(layer, {**taken, **names}, shapes) for layer in layers)]) + "\n"


def _renamed(layer: str, names: dict[str, str], shapes: dict[str, tuple[int, ...]]) -> str:
    kind, own, inputs, outputs, *rest = layer.split()
    blobs = int(inputs) + int(outputs)
    if kind == "Input":
        shape = shapes[rest[0]]
        rest[1:] = [f"{key}={length}" for key, length in zip(SIZES[len(shape)], shape)]
    return " ".join([kind, own, inputs, outputs, *(names.get(name, name) for name in rest[:blobs]), *rest[blobs:]])


def _check(job: Job) -> None:
    """Runs what was made on zeros: ncnn tells only then whether it takes every layer, and what shapes come out."""
    zeros = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in job.declared_inputs}
    for answer in run(job.outputs["artifact"], [zeros], job):
        assert answer


def describe(paths: Sequence[Path]) -> None:
    """Neither file tells shapes or types. ``build`` has run it under the declared ones."""


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the files with ncnn on one thread, in float32."""
    net = _net(paths)
    layers = [line.split() for line in paths[0].read_text().splitlines()]
    axes = {layer[4]: len(layer) - 5 for layer in layers if layer[0] == "Input"}
    for feed in feeds:
        extractor = net.create_extractor()
        for name, count in axes.items():
            if extractor.input(name, _blob(feed[name], count)):
                raise Refusal(f'ncnn does not take the input "{name}"')
        yield {tensor.name: _result(extractor, tensor) for tensor in job.declared_results}


def _net(paths: Sequence[Path]) -> Any:
    import ncnn

    net = ncnn.Net()
    options = net.opt
    options.num_threads = 1
    options.use_vulkan_compute = False
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(options, name, False)
    if net.load_param(str(paths[0])) or net.load_model(str(paths[1])):
        raise Refusal("ncnn cannot load this model: the log names the layer that it does not take")
    return net


def _blob(array: samples.Array, axes: int) -> Any:
    import ncnn

    shape = array.shape[array.ndim - axes :] if array.ndim >= axes else (1,)
    return ncnn.Mat(np.ascontiguousarray(array.reshape(shape))).clone()


def _result(extractor: Any, tensor: Tensor) -> samples.Array:
    status, blob = extractor.extract(tensor.name)
    if status:
        raise Refusal(f'ncnn cannot compute "{tensor.name}" (status {status})')
    array = np.array(blob)
    if array.size != int(np.prod(tensor.shape)):
        raise Refusal(f'ncnn gives "{tensor.name}" as {list(array.shape)}, declared is {list(tensor.shape)}')
    return array.reshape(tensor.shape)


def runtime() -> str:
    """The runtime and its version."""
    import ncnn

    return f"ncnn {ncnn.__version__}"
