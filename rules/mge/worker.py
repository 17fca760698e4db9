"""Dumps a .tm as .mge and runs it with Lite Python. Runs inside the megengine toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from megbuild_worker import samples, traced
from megbuild_worker.job import Description, Job, NotHere, Refusal, Tensor

RUNS_HERE = ("default", "nchw88", "nchw4", "nchw32", "chwn4")
"""Layouts with kernels for x86. Running one of the others here ends the process (nchw44) or fails an assertion."""

PRECISIONS = {"fp32": [], "fp16": ["enable_ioc16"], "fp16-storage": ["enable_io16xc32"]}
FUSIONS = {
    "fuse_conv_bias": "enable_fuse_conv_bias_nonlinearity",
    "fuse_conv_add": "enable_fuse_conv_bias_with_z",
    "fuse_preprocess": "enable_fuse_preprocess",
}


def build(job: Job) -> None:
    """Traces the network once more as a graph and dumps it under the declared names."""
    import megengine
    import megengine.jit
    import tm_file

    network = tm_file.load(job.input("tm"), job)
    traced.settle(network, job.declared_inputs, job.declared_results)
    example = samples.synthetic(job.declared_inputs)

    @megengine.jit.trace(symbolic=True, capture_as_const=True)
    def graph(*tensors: Any) -> list[Any]:
        return traced.flat_results(network(*tensors))

    names = traced.input_names(network)
    graph(*(megengine.Tensor(example[name]) for name in names))
    graph.dump(
        str(job.output("artifact")),
        arg_names=names,
        output_names=traced.result_names(network),
        optimize_for_inference=job.options.optimize,
        **dict.fromkeys(_passes(job.options), True),
    )


def _passes(options: SimpleNamespace) -> list[str]:
    layout = [] if options.layout == "default" else [f"enable_{options.layout}"]
    passes = [*layout, *PRECISIONS[options.precision], *(FUSIONS[name] for name in FUSIONS if getattr(options, name))]
    if passes and not options.optimize:
        raise Refusal(f"optimize = false leaves out what layout, precision or fusion ask for: {', '.join(passes)}")
    return passes


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results of a .mge without running it."""
    import megengine.utils.network

    network = megengine.utils.network.Network.load(str(paths[0]))
    return {
        "inputs": [_tensor(node) for node in network.input_vars],
        "results": [_tensor(node) for node in network.output_vars],
    }


def _tensor(node: Any) -> Tensor:
    return Tensor(node.name, tuple(int(n) for n in node.shape), np.dtype(node.dtype).name)


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the .mge with Lite Python on this machine's CPU."""
    import megenginelite as lite

    _leave_to_its_device(job.options.layout)
    network = lite.LiteNetwork()
    network.load(str(paths[0]))
    results = network.get_all_output_name()
    for feed in feeds:
        for name in network.get_all_input_name():
            network.get_io_tensor(name).set_data_by_copy(feed[name])
        network.forward()
        network.wait()
        yield {name: network.get_io_tensor(name).to_numpy().copy() for name in results}


def _leave_to_its_device(layout: str) -> None:
    if layout not in RUNS_HERE:
        raise NotHere(f"layout {layout} has no kernels for this machine: the file can only be run on its device")
    # The oneDNN inside MegEngine 1.13 asks for the number of cores in a way that only Intel's processors answer. On
    # others a worker thread dies of it ("bad err=45 in Xbyak::Error"), and the process hangs or is killed.
    if layout == "nchw88" and "GenuineIntel" not in Path("/proc/cpuinfo").read_text(encoding="ascii"):
        raise NotHere("layout nchw88 runs on Intel processors only; this machine has another")


def runtime() -> str:
    """The runtime and its version."""
    import megenginelite

    return f"Lite Python {megenginelite.version}"
