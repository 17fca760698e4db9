"""What a C program takes: compiled, run on samples, equal bit by bit to Lite Python; with the user's own compiler, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from megbuild.declare.load import load
from megbuild.execute.toolchains import installed
from megbuild.store.places import cache_folder

from .networks import TWO_INPUTS
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

FILES = {
    "MODELS.toml": """
        workspace = true

        [models.net]
        source  = "net.py:build"
        inputs  = [{ name = "image", shape = [1, 3, 8, 8] }, { name = "bias.x", shape = [1, 4] }]
        results = [{ name = "scores", shape = [1, 4] }, { name = "best", shape = [1], dtype = "int32" }]
        samples = "samples/*.npz"
        [models.net.outputs.lite-c]
        [models.net.outputs.x86]
    """,
    "net.py": TWO_INPUTS,
}


@pytest.fixture
def space(unbuilt: Make) -> Workspace:
    made = unbuilt(FILES)
    shutil.rmtree(made.root / "samples")
    (made.root / "samples").mkdir()
    random = np.random.RandomState(1)
    images = random.uniform(-1, 1, (5, 3, 8, 8)).astype("float32")
    np.savez(
        made.root / "samples/five.npz", image=images, **{"bias.x": random.uniform(-1, 1, (5, 4)).astype("float32")}
    )
    return made


def test_a_c_program_gives_the_bits_of_lite_python(space: Workspace) -> None:
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    in_c, in_python = outcome.rows["//:net@lite-c"], outcome.rows["//:net@x86"]
    assert (in_c["verdict"], in_c["samples"]) == ("pass", 5)
    assert in_c["runtime"].startswith("Lite C 1.")
    assert in_c["metrics"] == in_python["metrics"]
    folder = Path(space.root, "out/net/lite-c")
    names = ["net.c", "net.expected", "net.h", "net.input", "net.mge", "net.mk", "record.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    head = (folder / "net.h").read_text()
    assert '{"image", "float32", 768, 4, {1, 3, 8, 8}},' in head
    assert '{"best", "int32", 4, 1, {1}},' in head
    assert (folder / "net.mge").read_bytes() == Path(space.root, "out/net/x86/net.mge").read_bytes()

    made = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "record.json"}
    space.forget_store()
    space.doit("forget", "//:net@lite-c")
    assert space.build("//:net@lite-c").status == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "record.json"} == made


def made_by_hand(space: Workspace, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """``make check`` with this machine's compiler and the toolchain's Lite, and its environment."""
    found = installed(
        load(space.root).toolchains["lite_c"], Path(os.environ.get("MEGBUILD_TEST_CACHE") or cache_folder())
    )
    assert found
    (packages,) = Path(found.folder).glob("lib/python3.*/site-packages")
    (library,) = packages.glob("megenginelite/libs/liblite_shared_whl*.so")
    lite = tmp_path / "lite"
    lite.mkdir()
    (lite / "liblite_shared_whl.so").symlink_to(library)
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{packages}/megengine/core/lib"}
    command = ["make", "-f", "net.mk", f"LITE={lite}", "CC=cc -Werror", "check"]
    return command, environment


def test_the_makefile(space: Workspace, tmp_path: Path) -> None:
    """``make check`` in the delivered folder, with this machine's compiler, and with golden data that was changed."""
    outcome = space.build("//:net@lite-c")
    assert outcome.status == 0, outcome.text
    folder = shutil.copytree(space.root / "out/net/lite-c", tmp_path / "firmware")
    command, environment = made_by_hand(space, tmp_path)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "net.expected").write_bytes(bytes(20))
    assert subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode != 0


@pytest.mark.parametrize("hardware", ["lite-c-arm64", "lite-c-arm64-dot", "lite-c-opencl"])
def test_a_layout_that_cannot_run_here(space: Workspace, hardware: str) -> None:
    """The folder is whole: golden data of the model's own first sample, with what the .tm gives for it; not run."""
    space.edit("MODELS.toml", "outputs.lite-c]\n", f'outputs.lite-c]\nhardware = "{hardware}"\n')
    outcome = space.build("//:net@lite-c")
    assert outcome.status == 0, outcome.text
    assert outcome.rows["//:net@lite-c"]["verdict"] == "not run"
    folder = Path(space.root, "out/net/lite-c")
    sample = np.load(space.root / "samples/five.npz")
    assert (folder / "net.input").read_bytes() == sample["image"][:1].tobytes() + sample["bias.x"][:1].tobytes()
    expected = (folder / "net.expected").read_bytes()
    assert len(expected) == 20 and np.isfinite(np.frombuffer(expected[:16], "float32")).all()
    assert "TOLERANCE ?= 0.001" in (folder / "net.mk").read_text()


def test_golden_data_within_a_tolerance(space: Workspace, tmp_path: Path) -> None:
    """What ``make check`` does on the device, on a network that runs here: the golden data and the example of the one for ARM."""
    space.edit("MODELS.toml", "outputs.lite-c]\n", 'outputs.lite-c]\nhardware = "lite-c-arm64"\n')
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    folder = shutil.copytree(space.root / "out/net/lite-c", tmp_path / "firmware")
    shutil.copyfile(space.root / outcome.rows["//:net@x86"]["artifact"], folder / "net.mge")
    command, environment = made_by_hand(space, tmp_path)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "best: as expected" in done.stdout
    golden = np.frombuffer((folder / "net.expected").read_bytes(), "float32").copy()
    golden[0] += 0.01 * abs(golden[:4]).max()
    (folder / "net.expected").write_bytes(golden.tobytes())
    assert subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode != 0
    assert subprocess.run([*command, "TOLERANCE=0.1"], cwd=folder, env=environment, capture_output=True).returncode == 0
