"""Converts ONNX to MNN and runs it on the CPU. Runs inside the mnn toolchain."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from megbuild_worker import samples
from megbuild_worker.job import Description, Job, Refusal, Tensor

CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
WEIGHTS = {"fp32": [], "fp16": ["--fp16"], "int8": ["--weightQuantBits", "8"]}


def build(job: Job) -> None:
    """Converts in a process of its own, which aborts where it cannot; then makes the random identifier one of the content."""
    folder = job.folder / "tmp" / "mnn"
    folder.mkdir(parents=True)
    arguments = [
        "-f",
        "ONNX",
        "--modelFile",
        str(job.input("onnx")),
        "--MNNModel",
        "model.mnn",
        "--bizCode",
        "megbuild",
    ]
    done = subprocess.run(
        [sys.executable, "-B", "-s", "-c", CONVERT, *arguments, *WEIGHTS[job.options.weights]], cwd=folder, text=True,
        env={**os.environ, "HOME": str(folder)}, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    made = folder / "model.mnn"
    if done.returncode or not made.is_file():
        raise Refusal(f"MNN cannot convert this model: {_said(done)}")
    job.output("artifact").write_bytes(_identified(made))


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """The converter's own complaint, else how it ended."""
    marks = ("Error", "not support", "Unsupported", "what()")
    lines = [line.strip() for line in done.stdout.splitlines() if any(mark in line for mark in marks)]
    return lines[0] if lines else f"its converter exited with status {done.returncode}"


def _identified(path: Path) -> bytes:
    """The file with an identifier that is made of everything else in it."""
    import MNN

    content, random = path.read_bytes(), MNN.get_model_uuid(str(path)).encode()
    if not random or content.count(random) != 1:
        raise Refusal(
            f"MNN wrote its identifier {content.count(random) if random else 0} times into the file, not once"
        )
    rest = content.replace(random, b"0" * len(random))
    own = uuid.UUID(bytes=hashlib.sha256(rest).digest()[:16], version=4)
    return content.replace(random, str(own).encode())


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of an .mnn, as a session has them."""
    net, session = _session(paths[0])
    given, results = net.getSessionInputAll(session), net.getSessionOutputAll(session)
    return {
        "inputs": [_tensor(name, given[name]) for name in sorted(given)],
        "results": [_tensor(name, results[name]) for name in sorted(results)],
    }


def _tensor(name: str, tensor: Any) -> Tensor:
    return Tensor(name, tuple(tensor.getShape()), tensor.getNumpyData().dtype.name)


def _session(path: Path) -> tuple[Any, Any]:
    import MNN

    net = MNN.Interpreter(str(path))
    return net, net.createSession({"backend": "CPU", "numThread": 1, "precision": "high"})


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the file with MNN on one thread, in float32."""
    net, session = _session(paths[0])
    given, results = net.getSessionInputAll(session), net.getSessionOutputAll(session)
    for feed in feeds:
        for name, tensor in given.items():
            tensor.copyFrom(_host(tensor, feed[name]))
        net.runSession(session)
        yield {tensor.name: _read(results[tensor.name]) for tensor in job.declared_results}


def _host(tensor: Any, array: samples.Array) -> Any:
    """Memory in the declared order; the session's own may be in blocks of channels."""
    import MNN

    return MNN.Tensor(tensor.getShape(), tensor.getDataType(), array, MNN.Tensor_DimensionType_Caffe)


def _read(tensor: Any) -> samples.Array:
    import numpy as np

    host = _host(tensor, np.zeros(tensor.getShape(), tensor.getNumpyData().dtype))
    tensor.copyToHostTensor(host)
    array: samples.Array = host.getNumpyData().copy()
    return array


def runtime() -> str:
    """The runtime and its version."""
    import MNN

    return f"MNN {MNN.version()} CPU"
