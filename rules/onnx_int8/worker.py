"""Quantises a float ONNX file with onnxruntime's static quantiser. Runs inside the mgeconvert toolchain."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import onnx_file

from megbuild_worker import batch, samples
from megbuild_worker.job import Description, Job, Refusal

OPSET = 13
"""The first in which DequantizeLinear has a scale for each channel."""
DIGITS = 4
"""Significant digits of a range: what differs between processors comes far behind them."""
FLOAT = ("ConvTranspose",)
"""Whose scales by channel the quantiser takes from the wrong axis."""
AT_ONCE = 16
"""Samples between two summaries: the calibration keeps what it is given until then."""


def build(job: Job) -> None:
    """Quantises by the ranges that the calibration samples reach."""
    model = onnx_file.load(job.input("onnx"))
    if any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        raise Refusal('this ONNX file is quantised already: leave precision out, or say precision = "float"')
    folder = job.folder / "tmp" / "quantise"
    folder.mkdir(parents=True)
    path = folder / "float.onnx"
    onnx.save(_raised(model), str(path))
    made = _quantised(path, _ranges(path, job), reduced=job.options.weight_bits == 7)
    if not any(node.op_type == "DequantizeLinear" for node in made.graph.node):
        raise Refusal("onnxruntime left all of this model in float: it quantises none of its operators")
    _unshare(made.graph)
    made.producer_name, made.producer_version = "megbuild", ""
    del made.metadata_props[:]
    job.output("artifact").write_bytes(made.SerializeToString(deterministic=True))


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in an opset that has scales by channel, initialisers no inputs."""
    given = onnx_file.inputs(model.graph)
    del model.graph.input[:]
    model.graph.input.extend(given)
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in onnx_file.STANDARD)
    if opset >= OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except RuntimeError as error:
        raise Refusal(f"this ONNX file cannot be raised to opset {OPSET}: {' '.join(str(error).split())}") from error


def _quantiser() -> Any:
    """onnxruntime's quantisation; its import asks for sympy, which only the shape inference that is not used here needs."""
    sys.modules.setdefault("sympy", ModuleType("sympy"))
    from onnxruntime import quantization

    return quantization


class _Reader:
    """Some calibration samples, as the quantiser reads them."""

    def __init__(self, feeds: Sequence[samples.Feed]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> samples.Feed | None:
        return next(self.feeds, None)


def _ranges(path: Path, job: Job) -> Any:
    """The smallest and the largest value of each float tensor over all samples."""
    quantization = _quantiser()
    from onnxruntime.quantization import calibrate

    calibrator = quantization.create_calibrator(str(path), augmented_model_path=str(path.with_name("watched.onnx")))
    given = onnx_file.inputs(onnx_file.load(path).graph)
    feeds: Iterator[samples.Feed] = (
        onnx_file.cast(feed, given)
        for feed, _ in batch.joined(samples.feeds(job.declared_inputs, job.inputs["calibration"]), batch.size(job))
    )
    ends: dict[str, tuple[Any, Any]] = {}
    while group := list(islice(feeds, AT_ONCE)):
        calibrator.collect_data(_Reader(group))
        for name in (found := calibrator.compute_data()):
            low, high = found[name].lowest, found[name].highest
            ends[name] = (min(ends[name][0], low), max(ends[name][1], high)) if name in ends else (low, high)
        calibrator.calibrate_tensors_range = None  # merging what was found before is broken in 1.16
    if not np.isfinite(np.asarray(list(ends.values()))).all():
        raise Refusal("a tensor is not finite on a calibration sample: it has no range")
    rounded = {name: tuple(type(end)(f"{end:.{DIGITS}g}") for end in pair) for name, pair in ends.items()}
    return calibrate.TensorsData(quantization.CalibrationMethod.MinMax, rounded)


def _quantised(path: Path, ranges: Any, reduced: bool) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType, qdq_quantizer, quant_utils, registry

    kinds = sorted({*registry.QLinearOpsRegistry, *registry.QDQRegistry}.difference(FLOAT))
    model = quant_utils.load_model_with_shape_infer(path)
    quantiser = qdq_quantizer.QDQQuantizer(
        model, True, reduced, quant_utils.QuantizationMode.QLinearOps, True, QuantType.QInt8, QuantType.QInt8, ranges, [], [], kinds, {}
    )  # fmt: skip
    try:
        quantiser.quantize_model()
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        raise Refusal(f"onnxruntime cannot quantise this model: {' '.join(str(error).split())}") from error
    made: onnx.ModelProto = quantiser.model.model
    return made


def _unshare(graph: onnx.GraphProto) -> None:
    """Gives each reader of a weight its own conversion: onnxruntime 1.16 does so itself, and forgets the axis of the scales."""
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, place))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "DequantizeLinear" or not node.attribute:
            continue
        for number, (reader, place) in enumerate(readers.get(node.output[0], [])[1:], 1):
            own = onnx.NodeProto()
            own.CopyFrom(node)
            own.name, own.output[0] = f"{node.name}_{number}", f"{node.output[0]}_{number}"
            reader.input[place] = own.output[0]
            nodes.append(own)
    copies = [onnx.NodeProto.FromString(node.SerializeToString(deterministic=True)) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of an ONNX file."""
    return onnx_file.describe(paths[0])
