"""Imports many ONNX files in one process of the mgeconvert toolchain: ``driver.py <repository> <scratch> <answers>``.

Each file goes through the rule's own worker twice, as in a build. An answer is a line of JSON: ``ok`` with the largest
error of two samples against onnxruntime on the file itself, and whether both .tm were equal; ``refused`` with what was
said; or ``broken`` with the traceback.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def main(repository: Path, scratch: Path, answers: Path) -> None:
    """Answers for every model of ``models.py`` and every file of ``files``."""
    (scratch / "code").mkdir(exist_ok=True)
    (scratch / "code/megbuild_worker").symlink_to(repository / "megbuild/worker")
    here = repository / "tests/rules/onnx_import"
    sys.path[:0] = [
        str(path)
        for path in (
            scratch / "code",
            repository / "rules/toolchains/mgeconvert",
            repository / "rules/toolchains/megengine",
            repository / "rules",
            here,
        )
    ]
    models = importlib.import_module("models").MODELS
    files = {path.stem: path for path in sorted((here / "files").glob("*.onnx"))}
    for name, make in models.items():
        files[name] = scratch / f"{name}.onnx"
        files[name].write_bytes(make().SerializeToString())
    with answers.open("w") as out:
        for name, path in files.items():
            try:
                answer = _answer(path, scratch)
            except Exception:
                answer = {"outcome": "broken", "said": traceback.format_exc()}
            out.write(json.dumps({"name": name, **answer}) + "\n")
            out.flush()


def _answer(path: Path, scratch: Path) -> dict[str, Any]:
    import numpy as np
    import onnx_file

    from megbuild_worker import samples
    from megbuild_worker.job import Refusal

    worker = importlib.import_module("onnx_import.worker")
    try:
        model = onnx_file.load(path)
        inputs, results = _declared(model)
        made = []
        for number in range(2):
            outputs = {"artifact": [scratch / f"{number}.tm"], "operations": [scratch / "operations.json"]}
            worker.build(SimpleNamespace(
                input=lambda name: path, inputs={"onnx": [path]}, outputs=outputs, output=lambda name, made=outputs: made[name][0],
                declared_inputs=inputs, declared_results=results,
            ))  # fmt: skip
            made.append(outputs["artifact"][0].read_bytes())
    except Refusal as refusal:
        return {"outcome": "refused", "said": str(refusal)}
    session = onnx_file.session(model, path.name)
    error = 0.0
    for seed in (0, 1):
        feed = samples.synthetic(inputs, seed)
        wanted = session.run(None, onnx_file.cast(dict(feed), onnx_file.inputs(model.graph)))
        for got, truth in zip(_run(scratch / "1.tm", inputs, results, feed), wanted):
            assert got.shape == truth.shape, f"{got.shape} for {truth.shape}"
            error = max(
                error, float(np.max(np.abs(got - truth), initial=0) / max(1e-9, np.max(np.abs(truth), initial=0)))
            )
    noted = json.loads((scratch / "operations.json").read_text())
    return {"outcome": "ok", "error": error, "same": made[0] == made[1], "noted": len(noted)}


def _declared(model: Any) -> Any:
    """The declaration that a user would write: free lengths are 2, integers are int32."""
    import onnx
    import onnx_file

    from megbuild_worker.job import Tensor

    found = []
    for value in onnx_file.inputs(model.graph):
        kind = value.type.tensor_type
        shape = tuple(axis.dim_value or 2 for axis in kind.shape.dim)
        whole = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).kind == "i"
        found.append(Tensor(value.name, shape, "int32" if whole else "float32", (0.0, 4.0) if whole else (-1.0, 1.0)))
    return found, [Tensor(value.name, (), "") for value in model.graph.output]


def _run(path: Path, inputs: Any, results: Any, feed: dict[str, Any]) -> Any:
    import megengine

    from megbuild_worker import traced

    network = megengine.load(str(path))
    given = network(*(megengine.Tensor(feed[name]) for name in traced.input_names(network)))
    assert traced.input_names(network) == [tensor.name for tensor in inputs]
    assert traced.result_names(network) == [tensor.name for tensor in results]
    return [tensor.numpy() for tensor in traced.flat_results(given)]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
