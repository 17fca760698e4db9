"""OpenVINO, ncnn and MNN: each converts and runs, the same bytes elsewhere, and says what it cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .test_int8 import FLOAT, built_elsewhere, with_data
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

MODEL = (
    FLOAT["MODELS.toml"].partition("[models.net.outputs.tflite]")[0].replace("0.99, top1 = 0.9", "0.9999, top1 = 1.0")
)
OUTPUTS = """
        [models.net.outputs.openvino]
        [models.net.outputs.openvino-fp16]
        hardware = "openvino"
        weights  = "fp16"
        [models.net.outputs.openvino-int8]
        hardware  = "openvino"
        precision = "int8"
        batch     = 4
        verify    = { cosine = 0.99, top1 = 0.9 }
        [models.net.outputs.ncnn]
        [models.net.outputs.ncnn-fp16]
        hardware = "ncnn"
        weights  = "fp16"
        [models.net.outputs.mnn]
        [models.net.outputs.mnn-4]
        hardware = "mnn"
        batch    = 4
        [models.net.outputs.mnn-int8]
        hardware = "mnn"
        weights  = "int8"
        verify   = { cosine = 0.99, top1 = 0.9 }
"""


def test_every_engine(unbuilt: Make, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs on its own runtime, near the .tm; elsewhere the same bytes."""
    space = with_data(unbuilt({**FLOAT, "MODELS.toml": MODEL + OUTPUTS}))
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    rows = {label.rpartition("@")[2]: row for label, row in outcome.rows.items()}
    assert all(row["verdict"] == "pass" and row["samples"] == 10 for row in rows.values()), rows
    assert {row["runtime"] for row in rows.values()} == {"OpenVINO 2026.4.1 CPU", "ncnn 1.0.20261020", "MNN 3.6.1 CPU"}
    out = Path(space.root, "out/net")
    for name in ("openvino", "ncnn"):
        halved, whole = (out / kind / "net.bin" for kind in (f"{name}-fp16", name))
        assert halved.stat().st_size < 0.7 * whole.stat().st_size
    again = built_elsewhere(space, tmp_path_factory.mktemp("another") / "place")
    assert again.ran.keys() == outcome.ran.keys()
    assert 'type="FakeQuantize"' in (out / "openvino-int8/net.xml").read_text()


def test_the_names_and_the_identifier_in_the_files(unbuilt: Make) -> None:
    space = with_data(unbuilt({**FLOAT, "MODELS.toml": MODEL + OUTPUTS}))
    assert space.build("//:net@ncnn", "//:net@mnn", "//:net@mnn-4").status == 0
    out = Path(space.root, "out/net")
    blobs = [line.split() for line in (out / "ncnn/net.param").read_text().splitlines()[2:]]
    assert blobs[0][0] == "Input" and blobs[0][4] == "image"
    assert {"scores", "map"} <= {word for blob in blobs for word in blob[4:]}
    uuid = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    found = [uuid.findall((out / name / "net.mnn").read_bytes()) for name in ("mnn", "mnn-4")]
    assert [len(some) for some in found] == [1, 1]
    assert found[0] != found[1]


SECOND = """
    import megengine.functional as F
    import megengine.module as M


    class Net(M.Module):
        def forward(self, image, bias):
            return F.sin(image) + bias, F.concat([image, image * bias], axis=1)


    def build():
        return Net()
"""


def test_several_inputs(unbuilt: Make) -> None:
    models = MODEL.replace(
        '[{ name = "image", shape = [1, 3, 12, 12] }]',
        '[{ name = "image", shape = [1, 3, 5, 4] }, { name = "bias", shape = [1, 3, 1, 1] }]',
    )
    models = models.replace(
        '[{ name = "scores", shape = [1, 6] }, { name = "map", shape = [1, 8, 6, 6] }]',
        '[{ name = "wave", shape = [1, 3, 5, 4] }, { name = "both", shape = [1, 6, 5, 4] }]',
    )
    models = models.replace("samples     =", "# samples  =").replace("top1 = 1.0", "scale = 0.01")
    outputs = "".join(f"\n        [models.net.outputs.{name}]" for name in ("openvino", "ncnn", "mnn"))
    space = unbuilt({"MODELS.toml": models + outputs + "\n", "net.py": SECOND})
    (space.root / "data").mkdir()
    np.save(space.root / "data/calibration.npy", np.zeros(1, "float32"))
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    assert all(row["verdict"] == "smoke" for row in outcome.rows.values()), outcome.rows


def test_what_an_engine_does_not_take(unbuilt: Make) -> None:
    """int8 by calibration before anything runs; more than a sample at once; a layer that ncnn does not have."""
    engines = '        [models.net.outputs.ncnn]\n        precision = "int8"\n        [models.net.outputs.mnn]\n        precision = "int8"\n'
    space = with_data(unbuilt({**FLOAT, "MODELS.toml": MODEL + engines}))
    outcome = space.build("--dry-run", summary=False)
    assert outcome.status == 2
    for name in ("ncnn", "mnn"):
        assert f"precision = int8 contradicts {name}, which needs its onnx made with precision = float" in outcome.text
    space.write("MODELS.toml", MODEL + "        [models.net.outputs.ncnn]\n        batch = 2\n")
    assert "batch = 2 contradicts ncnn" in space.build("--dry-run", summary=False).text
    space.write(
        "MODELS.toml",
        MODEL.replace("[1, 8, 6, 6]", '[1, 8, 6, 6], dtype = "int32"') + "        [models.net.outputs.ncnn]\n",
    )
    space.edit("net.py", "axis=[2, 3])), x", 'axis=[2, 3])), x.astype("int32")')
    outcome = space.build()
    assert outcome.status == 1
    assert "ncnn takes float32 with 1 on the first axis, which these are not: map" in outcome.text
