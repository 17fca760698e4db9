"""The dashed road: training code straight to .mge, equal to the recommended one in what it computes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from megbuild.declare.load import load
from megbuild.execute.toolchains import installed

from .conftest import SMALL
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

LITE = """
    import hashlib, sys
    import megenginelite as lite
    import numpy as np

    network = lite.LiteNetwork()
    network.load(sys.argv[1])
    feed = np.load(sys.argv[2])
    for name in network.get_all_input_name():
        network.get_io_tensor(name).set_data_by_copy(feed[name][:1])
    network.forward()
    network.wait()
    for name in sorted(network.get_all_output_name()):
        array = network.get_io_tensor(name).to_numpy()
        print(name, array.shape, array.dtype, hashlib.sha256(array.tobytes()).hexdigest())
"""

TRAINED = {
    "MODELS.toml": """
        workspace = true

        [models.net]
        train   = "net.py:train"
        source  = "net.py:build"
        inputs  = [{ name = "bias", shape = [1, 4] }, { name = "image", shape = [1, 3, 8, 8] }]
        results = [{ name = "scores", shape = [1, 4] }, { name = "best", shape = [1], dtype = "int32" }]
        samples = "samples/*.npz"
        [models.net.outputs.recommended]
        hardware = "x86"
        [models.net.outputs.dashed]
        hardware = "x86"
        direct   = true
        [models.net.outputs.dashed-phone]
        hardware = "arm64"
        direct   = true
        [models.net.outputs.dashed-onnx]
        hardware = "onnx"
        direct   = true
    """,
    "net.py": """
        import megengine
        import megengine.functional as F
        import megengine.module as M
        import numpy as np


        class Net(M.Module):
            def __init__(self):
                super().__init__()
                self.conv = M.ConvBnRelu2d(3, 8, 3, 2, 1)
                self.drop = M.Dropout(0.5)
                self.linear = M.Linear(128, 4)

            def forward(self, image, bias):
                scores = self.linear(self.drop(F.flatten(self.conv(image), 1))) + bias
                return {"best": F.argmax(scores, axis=1), "scores": scores}


        def train(path):
            random = np.random.RandomState(0)
            network = Net()
            for parameter in network.parameters():
                parameter[...] = megengine.Tensor(random.uniform(-0.3, 0.3, parameter.shape).astype("float32"))
            megengine.save(network.state_dict(), path)


        def build(weights):
            network = Net()
            network.load_state_dict(megengine.load(weights))
            return network
    """,
}


@pytest.fixture
def space(unbuilt: Make) -> Workspace:
    made = unbuilt(TRAINED)
    (made.root / "samples/one.npy").unlink()
    random = np.random.RandomState(1)
    arrays = {"image": random.uniform(-1, 1, (5, 3, 8, 8)), "bias": random.uniform(-1, 1, (5, 4))}
    np.savez(made.root / "samples/five.npz", **{name: array.astype("float32") for name, array in arrays.items()})
    return made


def bits(space: Workspace, artifact: str, tmp_path: Path) -> str:
    """What Lite computes of the first sample, by result."""
    found = installed(load(space.root).toolchains["megengine"], space.cache)
    assert found
    script = tmp_path / "lite.py"
    script.write_text(dedent(LITE))
    command = [found.python, str(script), artifact, "samples/five.npz"]
    done = subprocess.run(command, cwd=space.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_roads_compute_the_same_bits(space: Workspace, tmp_path: Path) -> None:
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    recommended, dashed = outcome.rows["//:net@recommended"], outcome.rows["//:net@dashed"]
    assert (dashed["verdict"], dashed["samples"], dashed["runtime"][:5]) == ("pass", 5, "Lite ")
    assert dashed["metrics"] == recommended["metrics"]
    first = bits(space, recommended["artifact"], tmp_path)
    assert first.splitlines()[1].startswith("scores (1, 4) float32 ")
    assert bits(space, dashed["artifact"], tmp_path) == first
    record = json.loads(Path(space.root, "out/net/dashed/record.json").read_text())
    assert record["road"] == ["mge_direct"]
    assert [tensor["name"] for tensor in record["results"]] == ["scores", "best"]
    assert outcome.rows["//:net@dashed-phone"]["verdict"] == "not run"
    onnx = json.loads(Path(space.root, "out/net/dashed-onnx/record.json").read_text())
    assert onnx["road"] == ["traced_module/tm", "onnx"], "no dashed road leads there"
    made = Path(space.root, dashed["artifact"]).read_bytes()
    space.forget_store()
    space.doit("forget", "//:net@dashed")
    assert space.build("//:net@dashed").status == 0
    assert Path(space.root, dashed["artifact"]).read_bytes() == made


def test_a_wrong_dashed_road_is_refused(space: Workspace) -> None:
    """It is held against the .tm: code that computes something else when it is traced again does not pass."""
    space.edit("net.py", "+ bias\n", "+ bias * (1 + 5 * self.traced())\n")
    space.edit(
        "net.py",
        "    def forward(",
        "    def traced(self):\n        from megengine.jit.tracing import active_trace\n\n"
        "        import megengine.jit.tracing as tracing\n        return int(tracing.active_trace is not None)\n\n    def forward(",
    )
    outcome = space.build("//:net@dashed")
    assert outcome.status == 1, outcome.text
    assert outcome.statuses == {"//:net@dashed": "refused"}


def test_results_that_are_not_those_declared(unbuilt: Make) -> None:
    text = SMALL["MODELS.toml"].replace("outputs.x86]", "outputs.x86]\n        direct = true")
    space = unbuilt(
        {"MODELS.toml": text, "scale.py": SMALL["scale.py"].replace("return x * self.factor", "return x, x")}
    )
    outcome = space.build("-k")
    assert outcome.status == 1
    assert "the model returns 2 results, 1 are declared" in outcome.text
