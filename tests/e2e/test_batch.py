"""``batch = 4`` on outputs of a model that is declared for one sample: real tools, several inputs, shapes read at run time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from .conftest import Seed, _seeded
from .workspace import Workspace

MODELS = """
    workspace = true

    [models.net]
    source  = "net.py:build"
    inputs  = [{ name = "image", shape = [1, 3, 8, 8] }, { name = "more", shape = [1, 6] }]
    results = [{ name = "mask", shape = [1, 4, 8, 8] }, { name = "prob", shape = [1, 5] }]
    samples = "samples.npz"
    calibration = "samples.npz"

    [models.net.outputs.onnx]
    batch = 4
    [models.net.outputs.tflite]
    batch = 4
    [models.net.outputs.caffe]
    batch = 4
    [models.net.outputs.one]
    hardware = "onnx"
    [models.net.outputs.rk3588]
    batch = 4
    [models.net.outputs.int8]
    hardware = "rk3588"
    precision = "int8"
    batch = 4
"""
NET = """
    import megengine.functional as F
    import megengine.module as M


    class Net(M.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = M.Conv2d(3, 4, 3, padding=1), M.BatchNorm2d(4)
            self.classify = M.Linear(70, 5)

        def forward(self, image, more):
            mask = F.relu(self.bn(self.conv(image)))
            n, c = mask.shape[0], mask.shape[1]
            small = F.reshape(F.max_pool2d(mask, 2, 2), (n, c * 16))
            return mask, F.softmax(self.classify(F.concat([small, more], 1)), axis=1)


    def build():
        return Net()
"""


def lay_out(root: Path) -> None:
    space = Workspace(root, root)
    space.write("MODELS.toml", MODELS)
    space.write("net.py", NET)
    source = np.random.RandomState(3)
    shapes = {"image": (6, 3, 8, 8), "more": (6, 6)}
    np.savez(root / "samples.npz", **{n: source.uniform(-1, 1, s).astype("float32") for n, s in shapes.items()})


@pytest.fixture(scope="session")
def batch_seed(shared: Path) -> Seed:
    return _seeded(shared / "seed-batch", lay_out)


OUTPUTS = {"onnx": 4, "tflite": 4, "caffe": 4, "one": 1, "rk3588": 4, "int8": 4}


@pytest.fixture
def batch(batch_seed: Seed, tmp_path: Path) -> Iterator[Workspace]:
    space = batch_seed.copy(tmp_path)
    yield space
    space.end()


def test_every_sample_of_a_batch_is_compared_with_its_own(batch: Workspace) -> None:
    outcome = batch.build()
    assert outcome.status == 0, outcome.text
    assert not outcome.ran
    assert {label.partition("@")[2] for label in outcome.rows} == set(OUTPUTS)
    for row in outcome.rows.values():
        assert (row["verdict"], row["samples"]) == ("pass", 6), row
        assert row["metrics"]["cosine"] > 0.999


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_record_says_the_shapes_of_the_artifact(batch_seed: Seed, output: str) -> None:
    record = json.loads(batch_seed.workspace.read(f"out/net/{output}/record.json"))
    count = OUTPUTS[output]
    assert [tensor["shape"] for tensor in record["inputs"]] == [[count, 3, 8, 8], [count, 6]]
    assert [tensor["shape"] for tensor in record["results"]] == [[count, 4, 8, 8], [count, 5]]


def test_labels_are_of_samples_whatever_the_batch(batch: Workspace) -> None:
    """Each sample has its class, also those of the batch that is not full."""
    np.save(batch.root / "labels.npy", np.zeros(6, "int64"))
    batch.edit("MODELS.toml", 'shape = [1, 4, 8, 8] }, { name = "prob", shape = [1, 5] }', "shape = [1, 5] }")
    batch.edit("MODELS.toml", 'name = "mask"', 'name = "prob"')
    batch.edit("MODELS.toml", 'samples = "samples.npz"\ncal', 'samples = "samples.npz"\nlabels = "labels.npy"\ncal')
    batch.edit("net.py", "return mask, ", "return ")
    outcome = batch.build("//:net@onnx", "//:net@one")
    assert outcome.status == 0, outcome.text
    accuracies = {row["accuracy"] for row in outcome.rows.values()}
    assert len(accuracies) == 1
    assert None not in accuracies


def refused(space: Workspace, *edits: tuple[str, str, str]) -> str:
    """What the build says of the batch after these edits; nothing of it is delivered."""
    for edit in edits:
        space.edit(*edit)
    outcome = space.build("//:net@onnx")
    assert outcome.status == 1, outcome.text
    return outcome.text


def test_a_network_that_fixes_its_batch_is_refused_with_the_line(batch: Workspace) -> None:
    said = refused(batch, ("net.py", "(n, c * 16)", "(1, c * 16)"))
    line = next(number for number, text in enumerate(batch.read("net.py").splitlines(), 1) if "c * 16" in text)
    assert "MegEngine cannot run this model on a sample of 4" in said
    assert f"net.py:{line}" in said
    assert "functional.reshape" in said


def test_a_result_that_does_not_grow_is_refused(batch: Workspace) -> None:
    said = refused(
        batch,
        ("net.py", "return mask, ", "return F.max(mask, axis=0, keepdims=True), "),
    )
    assert (
        'result "mask" does not grow with a batch of 4: its shape is [1, 4, 8, 8], of one sample [1, 4, 8, 8]' in said
    )


def test_a_result_that_mixes_samples_is_refused(batch: Workspace) -> None:
    said = refused(batch, ("net.py", "return mask, ", "return mask - F.max(mask, axis=0, keepdims=True), "))
    assert 'result "mask" mixes the samples of a batch of 4' in said


def test_a_declaration_without_an_axis_for_it_is_refused(batch: Workspace) -> None:
    said = refused(
        batch,
        ("MODELS.toml", '{ name = "more", shape = [1, 6] }', '{ name = "more", shape = [6] }'),
        ("MODELS.toml", 'samples = "samples.npz"\ncal', "cal"),
        ("net.py", "F.concat([small, more], 1)", "F.concat([small, more.reshape(1, 6)], 1)"),
    )
    assert 'batch = 4 wants every input and result declared with 1 on its first axis: input "more"' in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('lowering = "mgeconvert"', 'batch is not for lowering = "mgeconvert"'),
        ("opset = 9", 'opset 7 to 10 wants lowering = "mgeconvert"'),
        ('opset = 13\nlowering = "mgeconvert"', 'lowering = "mgeconvert" writes opset 7 to 12'),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_runs(
    batch: Workspace, more: str, said: str
) -> None:
    first = "outputs.onnx]\nbatch = 4\n"
    batch.edit("MODELS.toml", first, first.replace("batch = 4\n", "" if "13" in more else "batch = 4\n") + f"{more}\n")
    batch.write("net.py", "def build():\n    raise AssertionError('nothing runs')\n")
    outcome = batch.build("//:net@onnx")
    assert outcome.status != 0
    assert said in outcome.text
    assert "[MB202]" in outcome.text
    assert not outcome.ran
