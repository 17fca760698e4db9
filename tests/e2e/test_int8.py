"""int8 after training, by calibration samples: a float network as int8 TFLite, for Ethos-U, and as int8 ONNX."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .test_vela import FILES as TRAINED
from .workspace import Outcome, Workspace

Make = Callable[[dict[str, str]], Workspace]

FLOAT = {
    "MODELS.toml": """
        workspace = true

        [models.net]
        source      = "net.py:build"
        inputs      = [{ name = "image", shape = [1, 3, 12, 12] }]
        results     = [{ name = "scores", shape = [1, 6] }, { name = "map", shape = [1, 8, 6, 6] }]
        samples     = "data/samples.npy"
        calibration = "data/calibration.npy"
        verify      = { cosine = 0.99, top1 = 0.9 }
        [models.net.outputs.tflite]
        precision = "int8"
        [models.net.outputs.tflite-4]
        hardware  = "tflite"
        precision = "int8"
        batch     = 4
        [models.net.outputs.onnx]
        precision = "int8"
        [models.net.outputs.onnx-4]
        hardware  = "onnx"
        precision = "int8"
        batch     = 4
    """,
    "net.py": """
        import megengine
        import megengine.functional as F
        import megengine.module as M
        import numpy as np


        class Net(M.Module):
            def __init__(self):
                super().__init__()
                self.conv = M.Conv2d(3, 8, 3, 1, 1)
                self.down = M.Conv2d(8, 8, 3, 2, 1)
                self.depthwise = M.Conv2d(8, 8, 3, 1, 1, groups=8)
                self.scores = M.Linear(8, 6)

            def forward(self, image):
                x = F.nn.max_pool2d(self.conv(image), 3, 1, 1)  # a border of the smallest number there is
                x = F.relu(self.down(x))
                x = x + self.depthwise(x) * F.sigmoid(x)
                x = F.concat([x[:, :4], x[:, 4:] * 0.5], axis=1)
                return self.scores(F.mean(x, axis=[2, 3])), x


        def build():
            random = np.random.RandomState(0)
            network = Net()
            for parameter in network.parameters():
                parameter[...] = megengine.Tensor(random.uniform(-0.5, 0.5, parameter.shape).astype("float32"))
            network.eval()
            return network
    """,
}


def with_data(space: Workspace) -> Workspace:
    random = np.random.RandomState(7)
    (space.root / "data").mkdir()
    for name, count in (("samples", 10), ("calibration", 30)):
        np.save(space.root / "data" / f"{name}.npy", random.uniform(-1, 1, (count, 3, 12, 12)).astype("float32"))
    return space


def digests(space: Workspace) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in space.artifacts().items()}


def built_elsewhere(space: Workspace, root: Path) -> Outcome:
    """The same workspace built again, with an empty store, in another folder, time zone and number of threads, with the
    calibration samples in another order: the same bytes."""
    other = Workspace(root, space.cache)
    for path in ("MODELS.toml", "net.py"):
        other.write(path, space.read(path))
    shutil.copytree(space.root / "data", root / "data")
    calibration = root / "data/calibration.npy"
    np.save(calibration, np.load(calibration)[::-1])
    other.environment = {"OMP_NUM_THREADS": "3", "TZ": "Asia/Tokyo", "HOME": str(root), "NOISE": "x" * 3000}
    ours = digests(space)
    space.forget_store()
    again = other.build("-n1")
    other.end()
    assert again.status == 0, again.text
    theirs = digests(other)
    assert ours.keys() == theirs.keys()
    different = [path for path in ours if ours[path] != theirs[path] and not path.endswith("record.json")]
    assert not different, different
    return again


def test_a_float_network_becomes_int8(unbuilt: Make, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Small, close, with the declared names; in another folder, with its samples in another order, the same bytes."""
    space = with_data(unbuilt(FLOAT))
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    rows = {label.rpartition("@")[2]: row for label, row in outcome.rows.items()}
    assert all(row["verdict"] == "pass" and row["samples"] == 10 for row in rows.values()), rows
    for name in ("tflite", "tflite-4"):
        assert Path(space.root, rows[name]["artifact"]).read_bytes()[4:8] == b"TFL3"
    for name in ("onnx", "onnx-4"):
        assert b"DequantizeLinear" in Path(space.root, rows[name]["artifact"]).read_bytes()
    assert {"//:net#tflite-batch4-int8", "//:net#onnx-int8", "//:net#onnx-batch4-int8"} <= outcome.ran.keys()

    again = built_elsewhere(space, tmp_path_factory.mktemp("another") / "place")
    assert {"//:net#tflite-int8", "//:net#onnx-int8"} <= again.ran.keys()


def test_ethos_u_from_a_float_network(unbuilt: Make) -> None:
    """What Vela would leave on the CPU counts against its budget here, too."""
    models = (
        FLOAT["MODELS.toml"].partition("[models.net.outputs.tflite]")[0]
        + "\n        [models.net.outputs.ethos-u55-128]\n"
    )
    space = with_data(unbuilt({**FLOAT, "MODELS.toml": models}))
    outcome = space.build()
    assert outcome.status == 1
    assert "nothing of this model runs on ethos-u55-128" in outcome.errors[0]
    assert 'precision = "int8" with calibration samples' in outcome.errors[0]
    space.edit(
        "MODELS.toml", "[models.net.outputs.ethos-u55-128]", '[models.net.outputs.ethos-u55-128]\nprecision = "int8"'
    )
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    row = outcome.rows["//:net@ethos-u55-128"]
    assert (row["status"], row["verdict"]) == ("built", "not run")
    assert b"ethos-u" in Path(space.root, row["artifact"]).read_bytes()


def test_an_operator_that_stays_in_float_counts_against_the_budget(unbuilt: Make) -> None:
    net = FLOAT["net.py"].replace(
        "self.scores(F.mean(x, axis=[2, 3])), x", "F.exp(self.scores(F.mean(x, axis=[2, 3]))), x"
    )
    models = FLOAT["MODELS.toml"].partition("[models.net.outputs.tflite]")[0] + (
        '\n        [models.net.outputs.ethos-u55-128]\n        precision = "int8"\n'
    )
    space = with_data(unbuilt({"MODELS.toml": models, "net.py": net}))
    outcome = space.build()
    assert outcome.status == 1
    assert "operators stay on the CPU, cpu_operators = 0 allows: " in outcome.errors[0]
    assert "EXP of scores (" in outcome.errors[0]


def test_a_network_trained_for_quantisation_keeps_its_own(unbuilt: Make) -> None:
    models = TRAINED["MODELS.toml"].replace(
        "outputs.ethos-u55-128",
        'outputs.tflite]\n        precision = "int8"\n        [models.net.outputs.ethos-u55-128',
    )
    space = unbuilt(
        {**TRAINED, "MODELS.toml": models.replace("[models.net]", '[models.net]\n        calibration = "c.npy"')}
    )
    np.save(space.root / "c.npy", np.zeros((2, 3, 8, 8), "float32"))
    outcome = space.build("-k")
    assert outcome.status == 1
    assert any("trained for quantisation" in line and 'precision = "float"' in line for line in outcome.errors), (
        outcome.text
    )
    assert outcome.rows["//:net@ethos-u55-128"]["status"] == "built"


def test_it_wants_calibration_samples(unbuilt: Make) -> None:
    space = with_data(
        unbuilt({**FLOAT, "MODELS.toml": FLOAT["MODELS.toml"].replace('calibration = "data/calibration.npy"', "")})
    )
    outcome = space.build("--dry-run", summary=False)
    assert outcome.status == 2
    assert "//:net: tflite_int8 needs calibration samples" in outcome.errors[0]
    assert "MB211" in outcome.errors[0]
    assert "onnx_int8 needs calibration samples" in outcome.text


def test_what_cannot_become_int8(unbuilt: Make) -> None:
    """A step that calibrates nothing, and a network without anything that the quantisers know."""
    other = FLOAT["MODELS.toml"] + '\n        [models.net.outputs.caffe]\n        precision = "int8"\n'
    space = with_data(unbuilt({**FLOAT, "MODELS.toml": other}))
    outcome = space.build("--dry-run", summary=False)
    assert outcome.status == 2
    assert "//:net@caffe: no step of its road (traced_module/tm -> caffe) has an option precision" in outcome.errors[0]
    space.write("MODELS.toml", NOTHING)
    space.write("net.py", SINE)
    outcome = space.build("-k")
    assert outcome.status == 1
    assert any("ai-edge-quantizer left all of this model in float" in line for line in outcome.errors), outcome.text
    assert any("onnxruntime left all of this model in float" in line for line in outcome.errors), outcome.text


AWKWARD = """
    import megengine
    import megengine.functional as F
    import megengine.module as M
    import numpy as np


    class Net(M.Module):
        def __init__(self):
            super().__init__()
            self.up = M.ConvTranspose2d(3, 8, 2, 2)
            self.down = M.Conv2d(8, 8, 4, 4)
            self.mix, self.scores = M.Linear(8, 8), M.Linear(8, 6)

        def forward(self, image):
            x = F.leaky_relu(self.up(image), 0.2)
            x = self.down(x / (1 + F.abs(x)))
            pooled = F.mean(x, axis=[2, 3])
            return self.scores(self.mix(F.relu(self.mix(pooled)))), x


    def build():
        random = np.random.RandomState(0)
        network = Net()
        for parameter in network.parameters():
            parameter[...] = megengine.Tensor(random.uniform(-0.5, 0.5, parameter.shape).astype("float32"))
        network.eval()
        return network
"""


def test_what_the_runtimes_do_not_take_in_int8_stays_float(unbuilt: Make) -> None:
    """A division in TFLite, a transposed convolution in ONNX; and a weight that two layers share has its scales by channel in both."""
    models = FLOAT["MODELS.toml"].replace("cosine = 0.99, top1 = 0.9", "cosine = 0.95, top1 = 0")  # scores all alike
    space = with_data(unbuilt({"MODELS.toml": models, "net.py": AWKWARD}))
    outcome = space.build("//:net@tflite", "//:net@onnx", "//:net@onnx-4")
    assert outcome.status == 0, outcome.text
    assert {row["verdict"] for row in outcome.rows.values()} == {"pass"}


NOTHING = """
    workspace = true

    [models.net]
    source      = "net.py:build"
    inputs      = [{ name = "image", shape = [1, 3, 12, 12] }]
    results     = [{ name = "wave", shape = [1, 3, 12, 12] }]
    calibration = "data/calibration.npy"
    [models.net.outputs.tflite]
    precision = "int8"
    [models.net.outputs.onnx]
    precision = "int8"
"""
SINE = """
    import megengine.functional as F
    import megengine.module as M


    class Net(M.Module):
        def forward(self, image):
            return F.sin(image)


    def build():
        return Net()
"""
