"""Imports an ONNX file as a traced module. Runs inside the mgeconvert toolchain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from megbuild_worker import samples, stable, traced
from megbuild_worker.job import Description, Job


def build(job: Job) -> None:
    """Imports, traces and saves. The example for both is the synthetic one of the declared ranges."""
    import megengine
    import megengine.traced_module
    import onnx_file

    from . import importer

    path = job.input("onnx")
    model = onnx_file.load(path)
    given = onnx_file.inputs(model.graph)
    names = [value.name for value in given]
    files = onnx_file.by_name("input", job.declared_inputs, names)
    onnx_file.by_name("result", job.declared_results, [value.name for value in model.graph.output])
    example = samples.synthetic(job.declared_inputs)
    feeds = onnx_file.cast({files[name]: array for name, array in example.items()}, given)
    module = importer.module(model, feeds, path.name)
    tensors = [importer.tensor(feeds[name]) for name in names]
    network = megengine.traced_module.trace_module(module, *tensors)
    declared = {file: name for name, file in files.items()}
    tensors_by_name = {tensor.name: tensor for tensor in job.declared_inputs}
    traced.settle(network, [tensors_by_name[declared[name]] for name in names], job.declared_results)
    stable.write_json(job.output("operations"), importer.operations(network))
    megengine.save(network, str(job.output("artifact")))


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of the .tm."""
    import tm_file

    return traced.describe(tm_file.load(paths[0]))
