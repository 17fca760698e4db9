"""Models that are delivered as ONNX: built, refused for their pin, their names or their operators, held against the file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import REPOSITORY, Seed, _seeded
from .workspace import Workspace

EXAMPLE = REPOSITORY / "examples" / "imported"
FILES = REPOSITORY / "tests" / "rules" / "onnx_import" / "files"
Make = Callable[[dict[str, str]], Workspace]


@pytest.fixture(scope="session")
def imported_seed(shared: Path) -> Seed:
    """The example, built from an empty store, without the output for Rockchip's chip."""

    def lay_out(root: Path) -> None:
        shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("out", ".megbuild", "__pycache__", ".doit.db*"))
        models = root / "MODELS.toml"
        models.write_text(models.read_text().partition("[models.gate.outputs.rk3588]")[0])

    return _seeded(shared / "seed-imported", lay_out)


@pytest.fixture
def imported(imported_seed: Seed, tmp_path: Path) -> Iterator[Workspace]:
    """The example in a folder of its own, built."""
    space = imported_seed.copy(tmp_path)
    yield space
    space.end()


def test_every_output_is_held_against_the_delivered_file(imported_seed: Seed, imported: Workspace) -> None:
    assert {"//:gate#expected", "//:gate#tm", "//:gate#onnx+measured"} <= set(imported_seed.first.ran)
    assert (imported.root / "out/gate/onnx/gate.onnx").read_bytes() == (EXAMPLE / "network.onnx").read_bytes()
    outcome = imported.build()
    assert set(outcome.statuses.values()) == {"up to date"}, outcome.text
    assert not outcome.ran


def test_another_file_than_the_pinned_one_is_refused(imported: Workspace) -> None:
    other = (FILES / "lenet-dynamo18.onnx").read_bytes()
    (imported.root / "network.onnx").write_bytes(other)
    outcome = imported.build()
    assert outcome.status == 1
    assert f"network.onnx has sha256 {hashlib.sha256(other).hexdigest()}, pinned is " in outcome.text
    assert "[MB402]" in outcome.text
    assert not outcome.ran


def test_what_differs_from_the_declaration_is_refused(imported: Workspace) -> None:
    imported.edit("MODELS.toml", "shape = [1, 10]", "shape = [1, 11]")
    outcome = imported.build("//:gate@x86")
    assert outcome.status == 1
    assert 'result "scores" is float32 [1, 10], declared [1, 11]' in outcome.text


def test_a_name_that_the_file_does_not_have_is_refused(imported: Workspace) -> None:
    imported.edit(
        "MODELS.toml",
        'name = "scores", shape = [1, 10]',
        'name = "scores", shape = [1, 10] }, { name = "other", shape = [1]',
    )
    outcome = imported.build("//:gate@x86")
    assert outcome.status == 1
    assert "the file's results are scores; declared are scores, other" in outcome.text


def delivered(file: str) -> str:
    """The table of a delivered file."""
    digest = hashlib.sha256((FILES / f"{file}.onnx").read_bytes()).hexdigest()
    return f'onnx = {{ path = "{file}.onnx", sha256 = "{digest}" }}'


def test_an_operator_that_megengine_lacks_is_named(unbuilt: Make) -> None:
    space = unbuilt({"MODELS.toml": f"""
        workspace = true

        [models.net]
        {delivered("grid_sample-dynamo18")}
        inputs  = [{{ name = "x", shape = [1, 3, 6, 6], dtype = "float32" }}, {{ name = "g", shape = [1, 4, 4, 2], dtype = "float32" }}]
        results = [{{ name = "grid_sampler", shape = [1, 3, 4, 4] }}]
        [models.net.outputs.x86]
    """})  # fmt: skip
    shutil.copy(FILES / "grid_sample-dynamo18.onnx", space.root)
    outcome = space.build()
    assert outcome.status == 1
    assert "GridSample (node node_grid_sampler): MegEngine has nothing like it" in outcome.text
