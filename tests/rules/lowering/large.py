"""Converts a network of the size of ResNet-50 and says what it took: ``large.py <repository> <format>``."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace


def main(repository: Path, format: str) -> None:
    """Prints megabytes of weights, megabytes above what the imports took, and seconds of the processor, to ``took.json``."""
    here = Path.cwd()
    (here / "code").mkdir()
    (here / "code/megbuild_worker").symlink_to(repository / "megbuild/worker")
    sys.path[:0] = [
        str(here / "code"),
        *(str(repository / "rules/toolchains" / name) for name in ("mgeconvert", "megengine")),
    ]
    import megengine  # noqa: F401  # what a worker has imported before it starts
    import onnx  # noqa: F401

    from megbuild_worker import job, load

    worker = load.load(repository / "rules" / format / "worker.py")
    files = {"onnx": ["net.onnx"], "tflite": ["net.tflite"], "caffe": ["net.prototxt", "net.caffemodel"]}[format]
    asked = job.Job(
        function="build",
        worker="",
        inputs={"tm": [here / "net.tm"]},
        outputs={"artifact": [here / name for name in files]},
        options=SimpleNamespace(lowering="concrete", opset=12, fuse_bn=False),
        declared_inputs=(job.Tensor("data", (1, 3, 224, 224), "float32"),),
        declared_results=(job.Tensor("prob", (1, 1000), "float32"),),
        settings={},
        folder=here,
    )
    before, started = _peak(), time.process_time()
    worker.build(asked)
    took = {"megabytes": _peak() - before, "seconds": time.process_time() - started}
    (here / "took.json").write_text(json.dumps(took))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def trace() -> None:
    """Writes ``net.tm``: ResNet-50 with random weights."""
    import megengine as mge
    import megengine.functional as F
    import megengine.module as M
    import numpy as np
    from megengine.traced_module import trace_module

    class Block(M.Module):
        def __init__(self, inside: int, width: int, stride: int) -> None:
            super().__init__()
            self.a, self.b = M.Conv2d(inside, width, 1, bias=False), M.BatchNorm2d(width)
            self.c, self.d = M.Conv2d(width, width, 3, stride, 1, bias=False), M.BatchNorm2d(width)
            self.e, self.f = M.Conv2d(width, 4 * width, 1, bias=False), M.BatchNorm2d(4 * width)
            changed = stride > 1 or inside != 4 * width
            short = M.Sequential(M.Conv2d(inside, 4 * width, 1, stride, bias=False), M.BatchNorm2d(4 * width))
            self.short = short if changed else M.Identity()

        def forward(self, x: mge.Tensor) -> mge.Tensor:
            y = F.relu(self.b(self.a(x)))
            y = self.f(self.e(F.relu(self.d(self.c(y)))))
            y += self.short(x)
            return F.relu(y)

    blocks, inside = [], 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for place in range(count):
            blocks.append(Block(inside, width, stride if place == 0 else 1))
            inside = 4 * width

    class Network(M.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.pool = M.Conv2d(3, 64, 7, 2, 3), M.BatchNorm2d(64), M.MaxPool2d(3, 2, 1)
            self.blocks, self.classify = M.Sequential(*blocks), M.Linear(2048, 1000)

        def forward(self, x: mge.Tensor) -> mge.Tensor:
            x = self.blocks(self.pool(F.relu(self.norm(self.stem(x)))))
            return self.classify(F.flatten(F.avg_pool2d(x, 7), 1))

    network = Network()
    network.eval()
    mge.save(trace_module(network, mge.Tensor(np.zeros((1, 3, 224, 224), "float32"))), "net.tm")


if __name__ == "__main__":
    trace() if sys.argv[1] == "trace" else main(Path(sys.argv[1]), sys.argv[2])
