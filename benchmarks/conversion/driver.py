"""Answers the cells of the conversion matrix in the mgeconvert toolchain: ``driver.py <request> <answers>``.

This process imports the tools, touches no tensor, and forks one child for each step: tracing a network, one conversion,
one run of what came out. So a crash is one cell, and the peak memory is that of one conversion. Conversions and runs are
those of the rules' own workers, as in a build.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Tuple

FORMATS = ("onnx", "tflite", "caffe")
FILES = {"onnx": ["net.onnx"], "tflite": ["net.tflite"], "caffe": ["net.prototxt", "net.caffemodel"]}
ENOUGH = 1e-4
"""The largest error of a verified cell, as a part of the largest magnitude of MegEngine's result."""
SENSITIVE = 1e-2
"""How much of the largest magnitude another input must change at least: else no error would be seen."""

Answer = Dict[str, Any]


def main(request: Path, answers: Path) -> None:
    """Answers every cell of the request, one line of JSON for each and one for each network."""
    asked = json.loads(request.read_text())
    scratch = Path(asked["scratch"])
    _import_tools(scratch / "code")
    from networks import registry

    with answers.open("w") as out:

        def say(answer: Answer) -> None:
            out.write(json.dumps(answer) + "\n")
            out.flush()

        say({"kind": "versions", **_in_child(scratch, lambda: _versions(scratch / "code"), 60)})
        chosen = [
            (family, name, network)
            for family in asked["families"]
            for name, network in registry.networks(family)
            if ("full" if network.full else "small") in asked["sizes"]
        ]
        for number, (family, name, network) in enumerate(chosen, 1):
            folder = scratch / f"{family}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
            say({"kind": "started", "family": family, "name": name, "number": number, "count": len(chosen)})
            for answer in _network(asked, folder, network):
                say({"family": family, "name": name, "full": network.full, **answer})


def _import_tools(code: Path) -> None:
    sys.path[:0] = [str(code), str(code / "rules/toolchains/mgeconvert"), str(code / "rules/toolchains/megengine")]
    import mgeconvert_compat

    mgeconvert_compat.apply()
    for name in (
        "conversion",
        "lowering",
        "lowering.to_onnx",
        "lowering.to_tflite",
        "lowering.to_caffe",
        "lowering.tflite_file",
    ):
        importlib.import_module(name)
    for name in ("tm_to_onnx", "tm_to_tflite", "tm_to_caffe"):
        importlib.import_module(f"mgeconvert.converters.{name}")


def _versions(code: Path) -> Answer:
    import importlib.metadata

    from megbuild_worker import load

    runtimes = {name: load.load(code / "rules" / name / "worker.py").runtime() for name in FORMATS}
    packages = {name: importlib.metadata.version(name) for name in ("MegEngine", "mgeconvert", "onnx")}
    return {"runtimes": runtimes, "packages": packages, "python": sys.version.split()[0]}


def _network(asked: Dict[str, Any], folder: Path, network: Any) -> Iterator[Answer]:
    """The answers for one network: itself, then its cells."""
    if asked["again"]:
        if not (folder / "model.tm").exists():
            return
    else:
        folder.mkdir()
        yield {"kind": "network", **_in_child(folder, lambda: _traced(network, folder), 600)}
        if not (folder / "model.tm").exists():
            return
    for format, lowering in asked["cells"]:
        yield _cell(asked, folder, format, lowering)
    if not asked["keep"]:
        (folder / "model.tm").unlink()


def _cell(asked: Dict[str, Any], folder: Path, format: str, lowering: str) -> Answer:
    """Converts one network to one format one way, and runs what came out unless that was done before."""
    place = folder / f"{format}-{lowering}{'-again' if asked['again'] else ''}"
    place.mkdir()
    worker = Path(asked["scratch"]) / "code/rules" / format / "worker.py"
    job = _job(folder, place, worker, format, {**asked["options"][format], "lowering": lowering})
    answer = _in_child(place, lambda: _converted(job), asked["limit"])
    if answer["outcome"] == "converted" and not asked["again"]:
        answer.update(_in_child(place, lambda: _run(job, folder), asked["limit"]))
    elif answer["outcome"] in ("refused", "broken") and job.outputs["artifact"][0].exists():
        answer["outcome"] = "fails"
    for path in job.outputs["artifact"]:
        path.unlink(missing_ok=True)
    return {"kind": "cell", "format": format, "lowering": lowering, **answer}


# In a child --------------------------------------------------------------------------------------------------------------


def _in_child(folder: Path, work: Callable[[], Answer], limit: int) -> Answer:
    """What ``work`` answers in a process of its own; its noise goes to ``folder/log``."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _answer_and_exit(folder, work, limit, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return json.loads(told)  # type: ignore[no-any-return]
    number = os.WTERMSIG(status)
    said = f"stopped after {limit} s" if number == signal.SIGALRM else f"killed by {signal.Signals(number).name}"
    return {"outcome": "crashes", "said": said}


def _answer_and_exit(folder: Path, work: Callable[[], Answer], limit: int, pipe: int) -> None:
    from megbuild_worker.job import Refusal

    log = os.open(str(folder / "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.alarm(limit)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = work()
    except Refusal as refusal:
        answer = {"outcome": "refused", "said": str(refusal)}
    except BaseException as error:
        traceback.print_exc()
        answer = {"outcome": "broken", "said": "".join(traceback.format_exception_only(type(error), error)).strip()}
    with os.fdopen(pipe, "wb") as out:
        out.write(json.dumps(answer).encode())
    sys.stderr.flush()
    os._exit(0)


def _traced(network: Any, folder: Path) -> Answer:
    """Saves the network as a .tm, with a feed and what MegEngine computes from it."""
    import megengine as mge
    import numpy as np
    from megengine.traced_module import trace_module

    from megbuild_worker import job, traced

    module, feeds = network.make(), network.feeds(1)
    names, expected = _results(module(*[mge.Tensor(feed) for feed in feeds]))
    _, others = _results(module(*[mge.Tensor(feed) for feed in network.feeds(2)]))
    nudged = [feed * np.float32(1 + 2e-7) if feed.dtype.kind == "f" else feed for feed in feeds]
    _, nearly = _results(module(*[mge.Tensor(feed) for feed in nudged]))
    for name, one, other, near in zip(names, expected, others, nearly):
        change, noise = (np.abs(one - another).max() / np.abs(one).max() for another in (other, near))
        if not (np.isfinite(one).all() and change > SENSITIVE):
            raise ValueError(f"the result {name} of this network changes by {change:.2g} with its input: no test")
        if noise > ENOUGH:
            raise ValueError(f"the result {name} of this network changes by {noise:.2g} with the last bit of its input")
    traced_module = trace_module(module, *[mge.Tensor(feed) for feed in feeds])
    inputs = [
        job.Tensor(f"input{i}", feed.shape, feed.dtype.name, (float(feed.min()), float(feed.max())))
        for i, feed in enumerate(feeds)
    ]
    results = [job.Tensor(name, array.shape, array.dtype.name) for name, array in zip(names, expected)]
    traced.settle(traced_module, inputs, results)
    declared = {
        "inputs": [[t.name, t.shape, t.dtype, t.range] for t in inputs],
        "results": [[t.name, t.shape, t.dtype] for t in results],
    }
    (folder / "declared.json").write_text(json.dumps(declared))
    np.savez(folder / "feeds.npz", **{tensor.name: feed for tensor, feed in zip(inputs, feeds)})
    np.savez(folder / "expected.npz", **dict(zip(names, expected)))
    mge.save(traced_module, str(folder / "model.tm"))
    weights = sum(tensor.numpy().nbytes for tensor in [*module.parameters(), *module.buffers()])
    return {
        "outcome": "traced",
        "weights": weights,
        "inputs": [list(tensor.shape) for tensor in inputs],
        "results": [list(tensor.shape) for tensor in results],
    }


def _results(given: Any) -> Tuple[List[str], List[Any]]:
    """Names and arrays of what a network returns: a tensor, a sequence or a dict of tensors."""
    if isinstance(given, dict):
        return sorted(given), [given[name].numpy() for name in sorted(given)]
    flat = list(given) if isinstance(given, (list, tuple)) else [given]
    return [f"result{i}" for i in range(len(flat))], [tensor.numpy() for tensor in flat]


def _job(folder: Path, place: Path, worker: Path, format: str, options: Dict[str, Any]) -> Any:
    from megbuild_worker import job

    declared = json.loads((folder / "declared.json").read_text())
    return job.Job(
        function="build",
        worker=str(worker),
        inputs={"tm": [folder / "model.tm"]},
        outputs={"artifact": [place / name for name in FILES[format]]},
        options=SimpleNamespace(**options),
        declared_inputs=tuple(job.Tensor(n, tuple(s), d, tuple(r)) for n, s, d, r in declared["inputs"]),
        declared_results=tuple(job.Tensor(n, tuple(s), d) for n, s, d in declared["results"]),
        settings={},
        folder=place,
    )


def _converted(job: Any) -> Answer:
    """Converts: ``seconds`` and ``cpu`` (seconds of processor time) from the .tm to the files; ``memory``, the peak over
    what the tools take when idle."""
    import megengine as mge

    from megbuild_worker import load

    module = load.load(Path(job.worker))
    (mge.Tensor([1.0]) + 1.0).numpy()  # starts MegEngine's threads
    idle, started, worked = _memory("VmRSS"), time.perf_counter(), time.process_time()
    module.build(job)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    memory = _memory("VmHWM") - idle
    paths = job.outputs["artifact"]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return {
        "outcome": "converted",
        "seconds": round(seconds, 2),
        "cpu": round(cpu, 2),
        "memory": memory,
        "size": sum(path.stat().st_size for path in paths),
        "digest": digest.hexdigest(),
    }


def _memory(field: str) -> int:
    """Bytes that this process holds in memory (``VmRSS``), or has held at most (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(field + ":"))


def _run(job: Any, folder: Path) -> Answer:
    """Runs what was converted on its runtime and compares it with MegEngine."""
    import numpy as np

    from megbuild_worker import contract, load

    module, paths = load.load(Path(job.worker)), job.outputs["artifact"]
    try:
        contract.check(module.describe(paths), job.declared_inputs, job.declared_results, paths[0].name)
        (given,) = module.run(paths, [dict(np.load(folder / "feeds.npz"))], job)
    except Exception as error:
        return {"outcome": "fails", "said": str(error).strip().splitlines()[-1][:300] if str(error) else repr(error)}
    error = _error(given, dict(np.load(folder / "expected.npz")))
    return {"outcome": "verified" if error < ENOUGH else "wrong", "error": float(f"{error:.3g}")}


def _error(given: Dict[str, Any], expected: Dict[str, Any]) -> float:
    """The largest difference, as a part of the largest magnitude of its result; 1e30 for what is no number."""
    import numpy as np

    worst = 0.0
    for name, wanted in expected.items():
        if given[name].shape != wanted.shape:
            return 1e30
        apart = np.abs(given[name].astype("float64") - wanted.astype("float64")).max()
        worst = max(worst, float(apart / np.abs(wanted.astype("float64")).max()))
    return worst if np.isfinite(worst) else 1e30


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
