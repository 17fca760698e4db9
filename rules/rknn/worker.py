"""Compiles ONNX for Rockchip NPUs and runs it in the vendor's simulator. Runs inside the rknn toolchain."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker import batch, samples
from megbuild_worker.job import Description, Job, Refusal, Tensor

from . import canonical, toolkit

INT8_ONLY = ("rv1103", "rv1103b", "rv1106", "rv1106b")
"""Small chips without float16. Their files leave out members that are zero, so memory filled with another byte than
zero gives a file of another size, with which nothing can be compared."""
FILLS, FILLS_INT8_ONLY = (0x00, 0x00, 0x5A), (0x00, 0x00, 0x00)
MOST_COMPILATIONS = 8
CALIBRATION, LIST = "calibration", "calibration.txt"
NOT_ERRORS = ("Unkown op target: 0", "rknn-toolkit2 version:")
"""What the toolkit prints as errors: the first on every success, the second below every failure."""


def build(job: Job) -> None:
    """Compiles the model; ``notes``, where the step has them, tell what was zeroed and which tensors are int8."""
    options = job.options
    if options.target in INT8_ONLY and options.precision != "int8":
        raise Refusal(f'{options.target} computes in int8 only: set precision = "int8" and give calibration samples')
    _only_floats(job)
    _same_batch(job)
    notes: dict[str, Any] = {"canonical": options.canonical}
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(Path(scratch), job)
        try:
            if options.canonical:
                made = _canonical(bench)
                content = made.content
                notes.update(address_words=made.address_words, never_set_bytes=made.never_set_bytes)
            else:
                (raw,) = bench.compile([None])
                content = raw.content
            tensors = canonical.parse(content).footer["norm_tensor"]
        except canonical.Malformed as malformed:
            raise Refusal(f"rknn-toolkit2 wrote a file that is not a .rknn: {malformed}") from malformed
    job.output("artifact").write_bytes(content)
    notes["int8"] = sorted(tensor["url"] for tensor in tensors if tensor["dtype"]["vx_type"] == "int8")
    if "notes" in job.outputs:
        job.output("notes").write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")


def _only_floats(job: Job) -> None:
    for tensor in (*job.declared_inputs, *job.declared_results):
        if tensor.dtype not in ("", "float32"):
            raise Refusal(f'"{tensor.name}" is {tensor.dtype}: a .rknn file cannot tell it from float32')


def _same_batch(job: Job) -> None:
    """The ONNX file decides how many samples it takes; one that was delivered decided long ago."""
    wanted = batch.size(job)
    for value in _inputs(_graph(job)) if wanted > 1 else ():
        first = next((axis.dim_value for axis in value.type.tensor_type.shape.dim), 0)
        if first != wanted:
            raise Refusal(
                f'batch = {wanted}, but the ONNX file was made for {first} at once: see its input "{value.name}"'
            )


def _canonical(bench: _Bench) -> canonical.Canonical:
    fills = FILLS_INT8_ONLY if bench.job.options.target in INT8_ONLY else FILLS
    try:
        compilations = bench.compile(fills)
        while canonical.could_coincide(compilations):
            if len(compilations) == MOST_COMPILATIONS:
                raise Refusal("this machine loads programs at the same address every time: set canonical = false")
            compilations += bench.compile([0x00])
        return canonical.canonicalise(compilations)
    except canonical.Unlike as unlike:
        raise Refusal(
            f"rknn-toolkit2 compiles this model differently every time: {unlike}; canonical = false takes what it gives"
        ) from unlike


@dataclass
class _Bench:
    """A scratch folder in which one model is compiled, each time in a process and a folder of its own."""

    folder: Path
    job: Job
    count: int = 0

    @cached_property
    def listed(self) -> str | None:
        """The list of calibration samples, written to the folder when first asked for; None without calibration."""
        return dataset(self.job, self.folder)

    def compile(self, fills: Sequence[int | None]) -> list[canonical.Compilation]:
        """Compiles at the same time, once with each fill; None leaves memory alone."""
        started = [self._start(fill) for fill in fills]
        # All are waited for before any is judged: none is left behind.
        ended = [(process.wait(), folder, fill) for process, folder, fill in started]
        return [self._made(status, folder, fill) for status, folder, fill in ended]

    def _start(self, fill: int | None) -> tuple[subprocess.Popen[bytes], Path, int | None]:
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        if fill is not None:
            (folder / "fill.so").symlink_to(_fill_library())
        (folder / "model.onnx").symlink_to(self.job.input("onnx"))
        for name in (CALIBRATION, LIST) if self.listed else ():
            (folder / name).symlink_to(self.folder / name)
        options = self.job.options
        request = {
            "model": "model.onnx",
            "target": options.target,
            "optimization_level": options.optimization_level,
            "dataset": self.listed,
            "output": "model.rknn",
        }
        (folder / "compile.json").write_text(json.dumps(request))
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-B", "-s", "-W", "ignore", str(Path(toolkit.__file__).resolve())],
                cwd=folder, env=_environment(fill), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return process, folder, fill

    def _made(self, status: int, folder: Path, fill: int | None) -> canonical.Compilation:
        said = _readable((folder / "log").read_text(errors="replace"))
        answer, made = folder / "compiled.json", folder / "model.rknn"
        told: dict[str, Any] = (
            json.loads(answer.read_text()) if status == 0 and answer.is_file() else {"failure": _ending(status)}
        )
        if not told["failure"] and not made.is_file():
            told["failure"] = "it wrote no file"
        if told["failure"] or folder.name == "1":
            print(said)
        if told["failure"]:
            options = self.job.options
            errors = [
                line for line in said.splitlines() if line.startswith("E ") and not any(n in line for n in NOT_ERRORS)
            ]
            reason = f" ({errors[-1][2:].strip()})" if errors else ""
            what = f"rknn-toolkit2 cannot compile this model for {options.target} in {options.precision}"
            raise Refusal(f"{what}: {told['failure']}{reason}")
        spans = [(first, end) for first, end in told["spans"]]
        return canonical.Compilation(made.read_bytes(), fill or 0, spans)


def _environment(fill: int | None) -> dict[str, str]:
    """What a compilation sees of the machine: nothing, so that nothing of it can get into the file."""
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": ".", "TMPDIR": ".", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    if fill is None:
        return environment
    # By a relative path: the linker takes a blank in LD_PRELOAD for the end of a name.
    return {**environment, "LD_PRELOAD": "./fill.so", "MEGBUILD_FILL": f"{fill:02x}"}


def _fill_library() -> Path:
    library = Path(sys.prefix, "lib", "megbuild", "fill.so")
    if not library.is_file():
        raise Refusal(f"the rknn toolchain is incomplete: {library} is missing")
    return library


def _ending(status: int) -> str:
    return f"it was ended by {signal.Signals(-status).name}" if status < 0 else f"it exited with status {status}"


def _readable(log: str) -> str:
    """The log without colours and progress bars."""
    plain = re.sub(r"\x1b\[[0-9;]*m|\r", "", log)
    return "\n".join(line for line in plain.splitlines() if line.strip() and not re.match(r"I .*\d%\|", line))


def dataset(job: Job, folder: Path) -> str | None:
    """Writes the calibration samples to ``folder`` and gives the toolkit's list of them; None without calibration.

    One line a sample: one ``.npy`` an input, in the order of the ONNX file. The names are relative to ``folder``.
    """
    if job.options.precision != "int8":
        return None
    names = _names(job)[0]
    (folder / CALIBRATION).mkdir()
    lines = []
    feeds = samples.feeds(job.declared_inputs, job.inputs["calibration"])
    for number, (feed, _) in enumerate(batch.joined(feeds, batch.size(job))):
        files = [f"{CALIBRATION}/{number:06}-{index}.npy" for index in range(len(names))]
        for name, file in zip(names, files, strict=True):
            np.save(folder / file, feed[name], allow_pickle=False)
        lines.append(" ".join(files))
    (folder / LIST).write_text("\n".join(lines) + "\n")
    return LIST


def _names(job: Job) -> tuple[list[str], list[str]]:
    """Names of inputs and of results in the order of the ONNX file, which the toolkit keeps."""
    graph = _graph(job)
    return [value.name for value in _inputs(graph)], [value.name for value in graph.output]


def _graph(job: Job) -> Any:
    import onnx

    return onnx.load(str(job.input("onnx")), load_external_data=False).graph


def _inputs(graph: Any) -> list[Any]:
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results from the description at the end of a .rknn file.

    Types are those of the runtime's calls that convert (``rknn_inputs_set``, ``rknn_outputs_get``): float32. Which
    tensors the NPU holds in int8 stands in the step's notes.
    """
    footer = canonical.parse(Path(paths[0]).read_bytes()).footer
    by_id = {tensor["tensor_id"]: tensor for tensor in footer["norm_tensor"]}
    found: Description = {"inputs": [], "results": []}
    for edge in footer["graph"]:
        tensor = by_id[edge["right_tensor_id"]]
        kind = "inputs" if edge["left"] == "input" else "results"
        found[kind].append(Tensor(tensor["url"], tuple(tensor["size"]), "float32"))
    return found


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Simulates the inputs of the build, sample by sample, after a check that the file is what they compile to."""
    with tempfile.TemporaryDirectory() as scratch:
        bench = _Bench(Path(scratch), job)
        _check_file(Path(paths[0]).read_bytes(), bench)
        built = _simulator(bench)
        names, results = _names(job)
        for feed in feeds:
            arrays = built.inference(inputs=[feed[name] for name in names], data_format=["nchw"] * len(names))
            if arrays is None or len(arrays) != len(results):
                raise Refusal("the simulator of rknn-toolkit2 gave no results for a sample")
            yield dict(zip(results, arrays, strict=True))


def _check_file(artifact: bytes, bench: _Bench) -> None:
    """The simulator does not read the file, so a fresh compilation must agree with it wherever the file is not zero.

    Raw files share no bytes but their description.
    """
    try:
        if bench.job.options.canonical:
            same = canonical.is_of(artifact, bench.compile([0x00])[0].content)
        else:
            compiled = bench.compile([None])[0].content
            same = canonical.parse(artifact).footer == canonical.parse(compiled).footer
    except canonical.Malformed as malformed:
        raise Refusal(f"the file to be measured is not a .rknn file: {malformed}") from malformed
    if not same:
        raise Refusal("the .rknn file is not what its ONNX file compiles to: build it again")


def _simulator(bench: _Bench) -> Any:
    """The model in memory, in the vendor's simulator; the toolkit leaves files in its current folder."""
    options, here = bench.job.options, Path.cwd()
    os.chdir(bench.folder)
    try:
        built = toolkit.built(str(bench.job.input("onnx")), options.target, options.optimization_level, bench.listed)
        toolkit.simulator(built)
    except toolkit.Failure as failure:
        raise Refusal(f"rknn-toolkit2 cannot simulate this model: {failure}") from failure
    finally:
        os.chdir(here)
    return built


def runtime() -> str:
    """The runtime and its version. It simulates the model in memory; the file is held against a compilation of it."""
    return f"rknn-toolkit2 {metadata.version('rknn-toolkit2')} simulator"
