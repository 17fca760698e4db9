"""Converts a .tm to Caffe and runs it with OpenCV. Runs inside the mgeconvert toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from megbuild_worker import names, samples, traced
from megbuild_worker.job import Description, Job, Refusal, Tensor


def build(job: Job) -> None:
    """Converts under the declared names; parameters of a QAT network go to ``quant_params.json`` beside the files."""
    import conversion

    network = conversion.network(job)
    if conversion.is_lowered(job):
        from lowering import to_caffe

        emission = to_caffe.CaffeEmission()
        conversion.lower(job, network, emission)
        del network  # its weights are in the emission now
        to_caffe.write(emission, *job.outputs["artifact"])
    else:
        _by_mgeconvert(job, network)


def _by_mgeconvert(job: Job, network: Any) -> None:
    from mgeconvert.converters import tm_to_caffe

    class Named(tm_to_caffe.CaffeConverter):
        def convert(self) -> None:
            tensors = [tensor for opr in self.net.all_oprs for tensor in [*opr.inp_tensors, *opr.out_tensors]]
            ends = [*self.net.graph_inputs, *self.net.graph_outputs]
            names.give(ends, [*traced.input_names(network), *traced.result_names(network)], tensors)
            super().convert()
            results = traced.result_names(network)
            self.layers = _with_ends(_needed(self.layers, set(results)), results)

    tm_to_caffe.CaffeConverter = Named
    prototxt, caffemodel = job.outputs["artifact"]
    side = str(prototxt.with_name("quant_params.json"))
    try:
        tm_to_caffe.tracedmodule_to_caffe(
            network, str(prototxt), str(caffemodel), fuse_bn=job.options.fuse_bn, quantize_file_path=side
        )
    except AssertionError as assertion:
        raise Refusal(f"mgeconvert cannot write this model as Caffe: {assertion}") from assertion


def _needed(layers: Sequence[Any], results: set[str]) -> list[Any]:
    """The layers that the results are computed from: Caffe takes any blob that nothing reads for a result.

    Layers that silence what else those layers give stay as well.
    """
    wanted, there = set(results), set()
    kept = set()
    for layer in reversed(layers):
        if wanted & set(layer.top) or layer.type == "Input":
            wanted.update(layer.bottom)
            there.update(layer.top)
            kept.add(id(layer))
    silence = {id(layer) for layer in layers if layer.type == "Silence" and there.issuperset(layer.bottom)}
    return [layer for layer in layers if id(layer) in kept | silence]


def _with_ends(layers: list[Any], results: Sequence[str]) -> list[Any]:
    """Gives a result that another layer reads a copy that nothing reads, so that Caffe takes it for a result."""
    read = {blob for layer in layers for blob in layer.bottom}
    for name in (result for result in results if result in read):
        inner = name + "_read"
        for layer in layers:
            layer.bottom[:] = [inner if blob == name else blob for blob in layer.bottom]
            layer.top[:] = [inner if blob == name else blob for blob in layer.top]
            layer.name = inner if layer.name == name else layer.name
        # A Power layer as it comes is the identity; every compiler that takes Caffe knows it.
        layers.append(type(layers[0])(name=name, type="Power", bottom=[inner], top=[name]))
    return layers


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of a Caffe network; Caffe knows no type but float32.

    A result's shape is not written in the files, so the network is run once.
    """
    inputs, results = _ends(paths[0])
    feed = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in inputs}
    given = next(_run(paths, [feed], results))
    return {"inputs": inputs, "results": [Tensor(name, given[name].shape, "float32") for name in results]}


def _ends(prototxt: Path) -> tuple[list[Tensor], list[str]]:
    """The input layers' tensors, and the names of the blobs that no layer reads."""
    from google.protobuf import text_format
    from mgeconvert.backend.ir_to_caffe.caffe_pb import caffe_pb2

    layers = text_format.Parse(prototxt.read_text(encoding="utf-8"), caffe_pb2.NetParameter()).layer
    read = {blob for layer in layers for blob in layer.bottom}
    inputs = [
        Tensor(layer.top[0], tuple(layer.input_param.shape[0].dim), "float32")
        for layer in layers
        if layer.type == "Input"
    ]
    fed = {tensor.name for tensor in inputs}
    return inputs, [blob for layer in layers for blob in layer.top if blob not in read | fed]


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the network with OpenCV on one thread."""
    return _run(paths, feeds, [result.name for result in job.declared_results])


def _run(paths: Sequence[Path], feeds: Iterable[samples.Feed], results: list[str]) -> Iterator[dict[str, Any]]:
    import cv2

    cv2.setNumThreads(1)
    network = cv2.dnn.readNetFromCaffe(str(paths[0]), str(paths[1]))
    network.enableFusion(False)  # a fused Power layer gives wrong values in OpenCV 4.10
    for feed in feeds:
        for name, array in feed.items():
            # OpenCV takes a plain 3-dimensional array for an image with channels.
            network.setInput(cv2.Mat(array, wrap_channels=False) if array.ndim == 3 else array, name)
        yield {name: array.copy() for name, array in zip(results, network.forward(results))}


def runtime() -> str:
    """The runtime and its version."""
    import cv2

    return f"OpenCV {cv2.__version__}"
