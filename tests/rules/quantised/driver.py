"""Converts the quantised networks in the mgeconvert toolchain: ``driver.py <repository> <scratch> <answers> [name ...]``.

Answers are JSON by network and format. ``steps`` is how far a result of TFLite is from the network as trained, in steps
of the network's last grid, at worst over all samples; ``error`` how far a result of ONNX or Caffe is from the network
with its fake quantisation switched off, as a part of its largest magnitude.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

SAMPLES = 64
"""For ONNX and Caffe."""
MANY = 128
"""For TFLite, after each of the trainings."""
TRAININGS = ((3, 60), (17, 20), (40, 20))
"""Seed and number of steps; the last two are for TFLite alone."""
FILES = {"onnx": ["net.onnx"], "tflite": ["net.tflite"], "caffe": ["net.prototxt", "net.caffemodel"]}


def main(repository: Path, scratch: Path, answers: Path, *names: str) -> None:
    """Answers for every network, or for those named."""
    (scratch / "code").mkdir(parents=True, exist_ok=True)
    link = scratch / "code/megbuild_worker"
    if not link.exists():
        link.symlink_to(repository / "megbuild/worker")
    places = (
        scratch / "code",
        repository / "rules/toolchains/mgeconvert",
        repository / "rules/toolchains/megengine",
        repository / "tests/rules/quantised",
    )
    sys.path[:0] = [str(place) for place in places]
    import networks

    found = {}
    for name in names or networks.NETWORKS:
        found[name] = {}
        for seed, steps in TRAININGS:
            found[name] |= _cells(networks, name, seed, steps, repository, scratch / f"{name}-{seed}")
    answers.write_text(json.dumps(found, indent=1, sort_keys=True))


def _asked(seed: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """What is made after a training: format and options by the name of the answer."""
    if seed != TRAININGS[0][0]:
        return {f"tflite-{seed}": ("tflite", {"between": "float", "exact": True})}
    return {
        "onnx": ("onnx", {"opset": 12}),
        "caffe": ("caffe", {"fuse_bn": False}),
        "tflite": ("tflite", {"between": "float", "exact": True}),
        "tflite-int8": ("tflite", {"between": "int8", "exact": True}),
        "tflite-plain": ("tflite", {"between": "int8", "exact": False}),
    }


def _cells(networks: Any, name: str, seed: int, steps: int, repository: Path, folder: Path) -> dict[str, Any]:
    import megengine as mge
    from megengine.quantization import disable_fake_quant
    from megengine.traced_module import trace_module

    from megbuild_worker import job, load, traced

    folder.mkdir(parents=True)
    own = networks.trained(name, seed, steps)
    images, _ = networks.patterns(MANY, 999 + 1000 * seed)
    one = (1, *networks.SHAPE)
    module = trace_module(own, mge.Tensor(images[:1]))
    results = (job.Tensor("scores", (1, networks.CLASSES), "float32"),)
    inputs = (job.Tensor("image", one, "float32", (-3.0, 3.0)),)
    traced.settle(module, inputs, results)
    mge.save(module, str(folder / "model.tm"))
    feeds = [{"image": image[None]} for image in images]
    as_trained = [own(mge.Tensor(feed["image"])).numpy() for feed in feeds]
    step = _step(own, as_trained)
    disable_fake_quant(own)
    in_float = [own(mge.Tensor(feed["image"])).numpy() for feed in feeds[:SAMPLES]]
    answers: dict[str, Any] = {}
    for key, (format, options) in _asked(seed).items():
        there = folder / key
        there.mkdir()
        paths = [there / file for file in FILES[format]]
        asked = job.Job(
            "build", "", {"tm": [folder / "model.tm"]}, {"artifact": paths},
            SimpleNamespace(lowering="concrete", **options), inputs, results, {}, there,
        )  # fmt: skip
        worker = load.load(repository / "rules" / format / "worker.py")
        try:
            worker.build(asked)
            count = MANY if format == "tflite" else SAMPLES
            given = [result["scores"] for result in worker.run(paths, feeds[:count], asked)]
            answer = _compared(given, as_trained[:count], in_float if format != "tflite" else None, step)
        except Exception:
            answer = {"said": traceback.format_exc()}
        kept = sorted(there.iterdir())
        answer["digest"] = hashlib.sha256(b"".join(path.read_bytes() for path in kept)).hexdigest()
        answer["files"] = [path.name for path in kept]
        if format == "tflite" and paths[0].exists():
            answer["kinds"] = _kinds(paths[0])
            answer["biases"] = _biases(paths[0])
        if format != "tflite" and "said" not in answer:
            answer["notes"] = json.loads((there / "quant_params.json").read_text())
            answer["names"] = _names(format, paths[0])
        answers[key] = answer
    return answers


def _step(own: Any, results: Any) -> float:
    """The distance of the numbers that a result can take; that of 8 bits where a float layer makes it."""
    head = getattr(own, "head", None) or getattr(own, "scores", None)
    if hasattr(head, "get_activation_qparams") and head.act_observer is not None:
        return float(head.get_activation_qparams().scale.numpy())
    return float(np.abs(results).max() / 127)


def _compared(given: Any, as_trained: Any, in_float: Any, step: float) -> dict[str, Any]:
    given, as_trained = np.concatenate(given), np.concatenate(as_trained)
    apart = np.abs(given - as_trained)
    answer = {
        "steps": float(apart.max() / step),
        "exact": float(np.mean(apart < step / 2)),
        "agreement": float(np.mean(given.argmax(1) == as_trained.argmax(1))),
    }
    if in_float:
        wanted = np.concatenate(in_float)
        answer["error"] = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    return answer


def _names(format: str, path: Path) -> list[str]:
    """The names of tensors and initialisers of an ONNX file, of layers and blobs of a Caffe network."""
    if format == "onnx":
        import onnx

        graph = onnx.load(str(path)).graph
        found = {name for node in graph.node for name in [*node.input, *node.output]}
    else:
        from google.protobuf import text_format
        from mgeconvert.backend.ir_to_caffe.caffe_pb import caffe_pb2

        layers = text_format.Parse(path.read_text(), caffe_pb2.NetParameter()).layer
        found = {name for layer in layers for name in [layer.name, *layer.top]}
    return sorted(found)


def _kinds(path: Path) -> dict[str, int]:
    """How many tensors of each type the file has."""
    from tflite_runtime.interpreter import Interpreter

    counts: dict[str, int] = {}
    for detail in Interpreter(str(path)).get_tensor_details():
        counts[np.dtype(detail["dtype"]).name] = counts.get(np.dtype(detail["dtype"]).name, 0) + 1
    return counts


def _biases(path: Path) -> list[int]:
    """The types of biases that the options of convolutions and linear layers say (schema.fbs: quantized_bias_type)."""
    from mgeconvert.backend.ir_to_tflite import tflite
    from mgeconvert.backend.ir_to_tflite.tflite.BuiltinOptions import BuiltinOptions
    from mgeconvert.backend.ir_to_tflite.tflite.Model import Model

    sys.modules["tflite"] = tflite  # as its parts call one another
    fields = {BuiltinOptions.Conv2DOptions: 6, BuiltinOptions.FullyConnectedOptions: 4}
    graph, said = Model.GetRootAsModel(path.read_bytes(), 0).Subgraphs(0), []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        if operator.BuiltinOptionsType() in fields:
            options = operator.BuiltinOptions()
            at = options.Offset(4 + 2 * fields[operator.BuiltinOptionsType()])
            said.append(options.Bytes[options.Pos + at] if at else 0)
    return said


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *sys.argv[4:])
