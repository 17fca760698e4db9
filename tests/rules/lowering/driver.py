"""Converts and runs many small networks in one process of the mgeconvert toolchain: ``driver.py <request> <answers>``.

The request names the repository, a scratch folder and the cells: ``[case, format, lowering]``. The answers are lines of
JSON, one for each cell: ``ok`` with the error, ``refused`` with what was said, ``unusable`` where a file was written
that is not what was declared or does not run, or ``broken`` with the traceback. Cells go through the rules' own workers,
as in a build.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

OPTIONS = {"onnx": {"opset": 12}, "tflite": {}, "caffe": {"fuse_bn": False}}
FILES = {"onnx": ["net.onnx"], "tflite": ["net.tflite"], "caffe": ["net.prototxt", "net.caffemodel"]}
STOCK = {
    "onnx": ("tm_to_onnx", "OnnxConverter"),
    "tflite": ("tm_to_tflite", "TFLiteConverter"),
    "caffe": ("tm_to_caffe", "CaffeConverter"),
}


def main(request: Path, answers: Path) -> None:
    """Answers every cell of the request."""
    asked = json.loads(request.read_text())
    repository, scratch = Path(asked["repository"]), Path(asked["scratch"])
    (scratch / "code").mkdir(exist_ok=True)
    (scratch / "code/megbuild_worker").symlink_to(repository / "megbuild/worker")
    places = (
        scratch / "code",
        repository / "rules/toolchains/mgeconvert",
        repository / "rules/toolchains/megengine",
        repository / "tests/rules/lowering",
    )
    sys.path[:0] = [str(place) for place in places]
    import cases.registry as registry

    importlib.import_module("cases")
    with answers.open("w") as out:
        for name, cells in _by_case(asked["cells"]):
            traced: Any = None
            for format, lowering, options in cells:
                started = time.process_time()
                worker = repository / "rules" / format / "worker.py"
                try:
                    traced = traced or Traced(registry.CASES[name], scratch / name)
                    answer = _answer(traced, worker, format, lowering, options)
                except Exception:
                    answer = {"outcome": "broken", "said": traceback.format_exc()}
                answer.update(case=name, format=format, lowering=lowering, options=options)
                answer["seconds"] = round(time.process_time() - started, 3)
                out.write(json.dumps(answer) + "\n")
                out.flush()


def _by_case(cells: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for name, *rest in cells:
        found.setdefault(name, []).append(rest)
    return iter(found.items())


class Traced:
    """A case as a .tm, with its declared inputs and results and what MegEngine computes."""

    def __init__(self, case: Any, folder: Path) -> None:
        import megengine as mge
        import numpy as np
        from megengine.traced_module import trace_module

        from megbuild_worker import job, traced

        folder.mkdir(exist_ok=True)
        self.folder = folder
        network, feeds = case.network(), case.feeds()
        tensors = [mge.Tensor(feed) for feed in feeds]
        given = network(*[mge.Tensor(feed) for feed in feeds])
        module = trace_module(network, *tensors)
        flat = list(_flat(given))
        named = (
            isinstance(given, dict)
            and len(flat) == len(given)
            and not any(isinstance(v, (list, tuple, dict)) for v in given.values())
        )
        names = sorted(given) if named else [f"result{i}" for i in range(len(flat))]
        self.inputs = tuple(
            job.Tensor(f"input{i}", feed.shape, feed.dtype.name, _range(feed)) for i, feed in enumerate(feeds)
        )
        self.results = tuple(
            job.Tensor(name, tuple(tensor.shape), tensor.numpy().dtype.name) for name, tensor in zip(names, flat)
        )
        self.feed = {tensor.name: feed for tensor, feed in zip(self.inputs, feeds)}
        self.expected = {name: tensor.numpy() for name, tensor in zip(names, flat)}
        named_arrays = {f"in {name}": array for name, array in self.feed.items()}
        named_arrays.update({f"out {name}": array for name, array in self.expected.items()})
        np.savez(folder / "arrays.npz", **named_arrays)
        traced.settle(module, self.inputs, self.results)
        self.path = folder / "model.tm"
        mge.save(module, str(self.path))


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, dict):
        given = [given[key] for key in sorted(given)]
    if isinstance(given, (list, tuple)):
        for part in given:
            yield from _flat(part)
    else:
        yield given


def _range(feed: Any) -> tuple[float, float]:
    return float(feed.min()), float(feed.max())


def _answer(traced: Traced, worker: Path, format: str, lowering: str, options: dict[str, Any]) -> dict[str, Any]:
    from megbuild_worker import batch, contract, job, load

    folder = traced.folder / f"{format}-{lowering}-{'-'.join(map(str, options.values()))}"
    folder.mkdir()
    asked = job.Job(
        function="build",
        worker=str(worker),
        inputs={"tm": [traced.path]},
        outputs={"artifact": [folder / name for name in FILES[format]]},
        options=SimpleNamespace(lowering=lowering, **{**OPTIONS[format], **options}),
        declared_inputs=traced.inputs,
        declared_results=traced.results,
        settings={},
        folder=folder,
    )
    module, paths = load.load(worker), asked.outputs["artifact"]
    try:
        made = batch.declared(asked)
        with _stock_restored(format):
            module.build(asked)
        contract.check(module.describe(paths), made.declared_inputs, made.declared_results, paths[0].name)
        asked.inputs["artifact"] = paths
        (given,) = batch.run(module, asked, [traced.feed])
        answer = {"outcome": "ok", "error": _error(given, traced.expected), "said": ""}
        answer["measures"] = _measures(given, traced.expected)
    except job.Refusal as refusal:
        answer = {"outcome": "unusable" if paths[0].exists() else "refused", "said": str(refusal)}
    except Exception:
        answer = {"outcome": "unusable" if paths[0].exists() else "broken", "said": traceback.format_exc()}
    if answer["outcome"] == "ok":
        answer["sha256"] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    if format == "tflite" and paths[0].exists():
        answer["aligned"] = _aligned(paths[0].read_bytes())
    if format == "onnx" and paths[0].exists():
        answer.update(_told(paths[0]))
    return answer


class _stock_restored:
    """The workers replace mgeconvert's converter in their process, which elsewhere ends after one conversion."""

    def __init__(self, format: str) -> None:
        module, self.name = STOCK[format]
        self.module = importlib.import_module(f"mgeconvert.converters.{module}")
        self.real = getattr(self.module, self.name)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        setattr(self.module, self.name, self.real)


def _error(given: dict[str, Any], expected: dict[str, Any]) -> float:
    """The largest difference, as a part of the largest magnitude of its result."""
    import numpy as np

    worst = 0.0
    for name, wanted in expected.items():
        if given[name].shape != wanted.shape:
            return 1e30
        if wanted.size:
            apart = np.abs(given[name].astype("float64") - wanted.astype("float64")).max()
            worst = max(worst, float(apart / (np.abs(wanted.astype("float64")).max() + 1e-9)))
    return worst if np.isfinite(worst) else 1e30


def _measures(given: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What a build would measure of this one sample, for the verdict."""
    from megbuild_worker import measure

    results = {}
    for name, wanted in expected.items():
        summary = measure.Summary()
        summary.add(measure.closeness(given[name], wanted))
        results[name] = summary.record()
    return {"samples": 1, "synthetic": True, "runtime": "", "results": results}


def _told(path: Path) -> dict[str, Any]:
    """What an ONNX file says about itself."""
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    known = {tensor.name for tensor in [*graph.value_info, *graph.output, *graph.input, *graph.initializer]}
    return {
        "opset": model.opset_import[0].version,
        "producer": [model.producer_name, model.producer_version, model.doc_string, graph.doc_string],
        "inputs": [tensor.name for tensor in graph.input],
        "nodes": [node.name for node in graph.node],
        "without_shape": sorted({name for node in graph.node for name in node.output} - known),
    }


def _aligned(file: bytes) -> bool:
    """Whether the data of every buffer of a TFLite file stands where the schema wants it."""
    from mgeconvert.backend import ir_to_tflite

    sys.path.extend(ir_to_tflite.__path__)  # the generated schema imports itself as a module of no package
    from tflite.Model import Model

    model = Model.GetRootAsModel(file, 0)
    tables = [model.Buffers(i)._tab for i in range(model.BuffersLength())]
    return all(table.Vector(table.Offset(4)) % 16 == 0 for table in tables if table.Offset(4))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
