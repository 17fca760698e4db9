"""Writes a network as TFLite and says what it took: ``writer.py <repository> <lowering> <channels> <ours|stock>``.

``stock`` has mgeconvert's own front end write every byte of a constant by a call of its own, as it comes.
"""

from __future__ import annotations

import collections
import collections.abc
import hashlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace


def main(repository: Path, lowering: str, channels: int, buffers: str) -> None:
    """Writes megabytes of weights, seconds of the processor and the file's digest to ``took.json``."""
    here = Path.cwd()
    (here / "code").mkdir()
    (here / "code/megbuild_worker").symlink_to(repository / "megbuild/worker")
    sys.path[:0] = [
        str(here / "code"),
        *(str(repository / "rules/toolchains" / name) for name in ("mgeconvert", "megengine")),
    ]
    collections.Iterable = collections.abc.Iterable  # mgeconvert's modules ask for it
    import megengine
    import mgeconvert_compat
    from mgeconvert.backend.ir_to_tflite.tflite_converter import TFLiteConverter

    from megbuild_worker import job, load

    stock = TFLiteConverter.gen_buffer
    mgeconvert_compat.apply()
    if buffers == "stock":
        TFLiteConverter.gen_buffer = lambda own, data: stock(own, data)
    weights = _trace(channels)
    worker = load.load(repository / "rules/tflite/worker.py")
    asked = job.Job(
        function="build",
        worker="",
        inputs={"tm": [here / "net.tm"]},
        outputs={"artifact": [here / "net.tflite"]},
        options=SimpleNamespace(lowering=lowering, between="float"),
        declared_inputs=(job.Tensor("data", (1, channels, 8, 8), "float32"),),
        declared_results=(job.Tensor("result", (1, channels, 8, 8), "float32"),),
        settings={},
        folder=here,
    )
    megengine._full_sync()
    started = time.process_time()
    worker.build(asked)
    took = {"megabytes": weights / 1e6, "seconds": time.process_time() - started}
    digest = hashlib.sha256((here / "net.tflite").read_bytes()).hexdigest()
    (here / "took.json").write_text(json.dumps({**took, "digest": digest}))


def _trace(channels: int) -> int:
    """Writes ``net.tm``, three convolutions; returns the bytes of its weights."""
    import megengine as mge
    import megengine.module as M
    import numpy as np
    from megengine.traced_module import trace_module

    network = M.Sequential(*(M.Conv2d(channels, channels, 3, padding=1) for _ in range(3)))
    source = np.random.RandomState(2)
    for parameter in network.parameters():
        parameter[...] = mge.Tensor(source.uniform(-0.1, 0.1, parameter.shape).astype("float32"))
    network.eval()
    mge.save(trace_module(network, mge.Tensor(np.zeros((1, channels, 8, 8), "float32"))), "net.tm")
    return sum(parameter.numpy().nbytes for parameter in network.parameters())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
