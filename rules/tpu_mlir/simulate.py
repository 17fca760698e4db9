"""Run as a program: describes a file of tpu-mlir, or runs it on samples, in the simulator of its chip.

``simulate.py FILE DESCRIPTION`` writes the inputs and results as JSON; ``simulate.py FILE FEEDS RESULTS`` runs every sample of
``FEEDS.npz`` (``input number -> array of samples``) and writes ``RESULTS.npz`` likewise. Only the standard library, numpy and
the package are imported here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def network(path: str) -> tuple[Any, Any]:
    """The file, which must live as long as the other, and the network in it."""
    if path.endswith(".cvimodel"):
        import pyruntime_cvi

        model = pyruntime_cvi.Model(path, output_all_tensors=False)
        return model, model
    import pyruntime_bm

    model = pyruntime_bm.Model(path, 0, "")
    return model, model.Net(model.networks[0])


def describe(net: Any, path: str) -> None:
    """Names, types and shapes as the file has them."""
    groups = {"inputs": net.inputs, "results": net.outputs}
    told = {
        kind: [{"name": t.name, "dtype": t.data.dtype.name, "shape": list(t.data.shape)} for t in tensors]
        for kind, tensors in groups.items()
    }
    Path(path).write_text(json.dumps(told))


def run(net: Any, feeds: str, results: str) -> None:
    """Every sample, one after another."""
    with np.load(feeds) as arrays:
        given = [arrays[str(number)] for number in range(len(net.inputs))]
    made: list[list[Any]] = [[] for _ in net.outputs]
    for sample in zip(*given):
        for tensor, array in zip(net.inputs, sample):
            tensor.data[...] = array.reshape(tensor.data.shape)
        net.forward()
        for tensor, kept in zip(net.outputs, made):
            kept.append(np.array(tensor.data))
    np.savez(results, **{str(number): np.stack(kept) for number, kept in enumerate(made)})


if __name__ == "__main__":
    kept_alive, loaded = network(sys.argv[1])
    (describe if len(sys.argv) == 3 else run)(loaded, *sys.argv[2:])
