"""Writes what a C program takes beside an .mge, and checks it as C. Runs inside the lite_c toolchain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

import megbuild_mge
from megbuild_worker import samples
from megbuild_worker.job import Description, Job, NotHere, Refusal, Tensor

from . import texts

TARGET = "x86_64-linux-gnu.2.28"
"""The oldest glibc that the Lite library runs on, so that this machine's does not matter."""
ARM = "aarch64-linux-gnu.2.28"
TOLERANCE = 0.001
"""How far a device's floats may be from those of the .tm, as a part of the largest of them."""
ENTRY = re.compile(r'\{"([^"]+)", "(\w+)", \d+, \d+, \{([\d, ]*)\}\}')


def build(job: Job) -> None:
    """Copies the network, and writes the other files from one sample and its results."""
    network, head, example, makefile, given, expected = job.outputs["artifact"]
    shutil.copyfile(job.input("mge"), network)
    foreign = "golden" in job.inputs
    if foreign:
        feed, results = _golden(job)
        _hold_against(network, feed, results)
    else:
        _leave_to_its_device(job.options.layout)
        feed = samples.synthetic(job.declared_inputs)
        results = _by_lite_python(network, feed, [tensor.name for tensor in job.declared_results])
    head.write_text(texts.header(feed, results))
    example.write_text(texts.EXAMPLE)
    makefile.write_text(texts.makefile(TOLERANCE if foreign else None))
    given.write_bytes(_raw(feed))
    expected.write_bytes(_raw(results))
    if foreign:
        with tempfile.TemporaryDirectory() as scratch:
            _compile(job.outputs["artifact"], Path(scratch), ["-target", ARM, "-c"])


def _golden(job: Job) -> tuple[samples.Feed, dict[str, Any]]:
    """The model's first sample, and what the .tm gives for it."""
    arrays = [np.load(path)[0] for path in job.inputs["golden"]]
    inputs, results = ([tensor.name for tensor in group] for group in (job.declared_inputs, job.declared_results))
    return dict(zip(inputs, arrays)), dict(zip(results, arrays[len(inputs) :]))


def _hold_against(network: Path, feed: samples.Feed, results: dict[str, Any]) -> None:
    """Refuses when the network, which cannot be run here, says that its inputs and results are others."""
    found = megbuild_mge.describe([network])
    for kind, arrays in (("inputs", feed), ("results", results)):
        told = {tensor.name: (tensor.shape, tensor.dtype) for tensor in found[kind]}
        if told != {name: (array.shape, array.dtype.name) for name, array in arrays.items()}:
            raise Refusal(f"the .mge has other {kind} than the golden sample: {told}")


def _leave_to_its_device(layout: str) -> None:
    if layout == "nchw88" and "GenuineIntel" not in Path("/proc/cpuinfo").read_text(encoding="ascii"):
        raise Refusal("the golden results of layout nchw88 can be computed on Intel processors only")


def _by_lite_python(path: Path, feed: samples.Feed, results: Sequence[str]) -> dict[str, Any]:
    import megenginelite as lite

    network = lite.LiteNetwork()
    network.load(str(path))
    for name, array in feed.items():
        network.get_io_tensor(name).set_data_by_copy(array)
    network.forward()
    network.wait()
    return {name: network.get_io_tensor(name).to_numpy().copy() for name in results}


def _raw(arrays: dict[str, Any]) -> bytes:
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results from the header; the example holds their sizes against the network when it runs."""
    inputs, results = Path(paths[1]).read_text().split("#define MODEL_RESULTS")
    return {"inputs": list(_tensors(inputs)), "results": list(_tensors(results))}


def _tensors(text: str) -> Iterator[Tensor]:
    for name, dtype, shape in ENTRY.findall(text):
        yield Tensor(name, tuple(int(n) for n in shape.split(",") if n.strip()), dtype)


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Compiles the delivered example, asks it for the golden results bit by bit, then for those of every sample."""
    if job.options.layout not in megbuild_mge.RUNS_HERE:
        raise NotHere(f"layout {job.options.layout} has no kernels for this machine: make check on the device runs it")
    described = describe(paths)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        program = _compiled(paths, Path(scratch))
        golden = Path(scratch, "golden")
        _end(_started(program, [str(paths[0]), str(paths[4]), str(golden)], ()))
        if golden.read_bytes() != Path(paths[5]).read_bytes():
            raise Refusal("the example in C computes other golden results than Lite Python")
        ours, theirs = _pipe(stack), _pipe(stack)
        words = [str(paths[0]), f"/proc/self/fd/{ours[0].fileno()}", f"/proc/self/fd/{theirs[1].fileno()}"]
        process = _started(program, words, (ours[0].fileno(), theirs[1].fileno()))
        ours[0].close()
        theirs[1].close()
        try:
            for feed in feeds:
                with suppress(BrokenPipeError):  # it has ended: _read says so
                    ours[1].write(_raw({tensor.name: feed[tensor.name] for tensor in described["inputs"]}))
                yield {tensor.name: _read(theirs[0], tensor) for tensor in described["results"]}
            ours[1].close()
            _end(process)
        finally:
            process.kill()
            process.wait()


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return stack.enter_context(os.fdopen(read, "rb")), stack.enter_context(os.fdopen(write, "wb", buffering=0))


def _read(results: IO[bytes], tensor: Tensor) -> Any:
    dtype = np.dtype(tensor.dtype)
    size = int(np.prod(tensor.shape)) * dtype.itemsize
    content = results.read(size)
    if len(content) != size:
        raise Refusal("the example in C ended before it gave all results")
    return np.frombuffer(content, dtype).reshape(tensor.shape)


def _compiled(paths: Sequence[Path], folder: Path) -> Path:
    """The example, compiled as its makefile does."""
    library = next(_lite_folder().glob("liblite_shared_whl*.so"))
    (folder / "liblite_shared_whl.so").symlink_to(library)
    linked = ["-L.", "-llite_shared_whl", "-Wl,--allow-shlib-undefined"]
    return _compile(paths, folder, ["-target", TARGET, *linked])


def _compile(paths: Sequence[Path], folder: Path, more: Sequence[str]) -> Path:
    for path, name in ((paths[1], "model.h"), (paths[2], "model.c")):
        shutil.copyfile(path, folder / name)
    command = [
        sys.executable, "-B", "-s", "-m", "ziglang", "cc", "-std=c99", "-O2", "-Wall", "-Werror", "-I.",
        '-DMODEL_H="model.h"', "-o", "example", "model.c", *more,
    ]  # fmt: skip
    caches = {f"ZIG_{kind}_CACHE_DIR": str(folder / "zig") for kind in ("GLOBAL", "LOCAL")}
    done = subprocess.run(command, cwd=folder, env={**os.environ, **caches}, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr)
        raise Refusal(f"the example in C does not compile: {done.stderr.strip().splitlines()[0]}")
    return folder / "example"


def _lite_folder() -> Path:
    import megenginelite

    return Path(megenginelite.__file__).parent / "libs"


def _started(program: Path, words: list[str], files: tuple[int, ...]) -> subprocess.Popen[str]:
    import megengine

    core = Path(megengine.__file__).parent / "core" / "lib"
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{program.parent}:{core}"}
    return subprocess.Popen(
        [str(program), *words], env=environment, pass_fds=files, stdin=subprocess.DEVNULL, text=True
    )


def _end(process: subprocess.Popen[str]) -> None:
    if process.wait():
        raise Refusal(f"the example in C ended with status {process.returncode}")


def runtime() -> str:
    """The runtime and its version."""
    import megenginelite

    return f"Lite C {megenginelite.version}"
