"""The example of a release, with the real tools: built twice in varied environments, checked without megbuild, tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from megbuild.release.verify import unpack

from .conftest import REPOSITORY, _cache
from .workspace import Workspace

LABELS = {"//:gate@server", "//:gate@phone", "//:gate@rk3588"}


def clone(source: Path, folder: Path) -> Workspace:
    subprocess.run(["git", "clone", "--quiet", str(source), str(folder)], check=True)
    return Workspace(folder, _cache(folder.parent / f"cache of {folder.name}"))


def test_a_release_is_the_same_everywhere_and_proves_itself(tmp_path: Path) -> None:
    root = tmp_path / "origin"
    shutil.copytree(
        REPOSITORY / "examples" / "release", root, ignore=shutil.ignore_patterns("out", ".megbuild", "dist")
    )
    origin = Workspace(root, tmp_path)
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "x")):
        origin.git(*words)
    one, two = clone(root, tmp_path / "one"), clone(root, tmp_path / "quite another folder")
    made = one.doit("key", "new", str(tmp_path / "key"))
    assert made.status == 0, made.text
    first = one.doit("release", "gate", "--locked", "--sign", str(tmp_path / "key"))
    assert first.status == 0, first.text
    two.environment = {
        "PYTHONHASHSEED": "77",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "3",
        "NOISE": "x" * 5000,
    }
    before = os.umask(0o077)
    try:
        second = two.doit("release", "gate", "--jobs", "1")
    finally:
        os.umask(before)
    assert second.status == 0, second.text
    archive = one.root / "dist/gate-1.0.0.tar.zst"
    assert archive.read_bytes() == (two.root / "dist/gate-1.0.0.tar.zst").read_bytes()

    folder = unpack(archive, tmp_path / "received")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {artifact["label"] for artifact in manifest["artifacts"]} == LABELS
    assert all(artifact["operators"] for artifact in manifest["artifacts"])
    assert manifest["allowed"][0]["why"] == ["//:gate@phone: arm64 cannot run on the build machine"]
    statement = json.loads((folder / "provenance/gate/rk3588.json").read_text())
    needed = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    packages = [one for one in needed if one["name"].startswith("pkg:pypi/")]
    assert len(packages) >= 40 and all(one["digest"]["sha256"] for one in packages)  # one file each
    said = outside(one, folder)
    assert said.returncode == 0, said.stderr
    assert "//:gate@server runs: lowest cosine 1.000000" in said.stdout
    assert "//:gate@phone was not run: it needs its device" in said.stdout

    checked = one.doit("release", "verify", str(archive), "--key", f"{tmp_path / 'key'}.pub", "--rebuild")
    assert checked.status == 0, checked.text
    assert "are the same, bit by bit" in checked.text

    model = folder / "artifacts/x86/gate/server/gate.mge"
    content = bytearray(model.read_bytes())
    content[-100] ^= 1
    model.write_bytes(content)
    said = outside(one, folder)
    assert said.returncode == 1 and "gate.mge is not the file of the release" in said.stderr


MORE = """
[models.gate.outputs.onnx]
[models.gate.outputs.tflite]
[models.gate.outputs.caffe]
"""


def test_a_receiver_runs_every_format_that_has_a_runtime(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    shutil.copytree(
        REPOSITORY / "examples" / "release", root, ignore=shutil.ignore_patterns("out", ".megbuild", "dist")
    )
    with (root / "MODELS.toml").open("a") as file:
        file.write(MORE)
    space = Workspace(root, _cache(tmp_path / "cache"))
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "x")):
        space.git(*words)
    made = space.doit("release", "gate", "--to", str(tmp_path / "to"))
    assert made.status == 0, made.text
    folder = unpack(tmp_path / "to/gate-1.0.0.tar.zst", tmp_path / "received")
    said = outside(space, folder)
    assert said.returncode == 0, said.stderr
    for name in ("server", "onnx", "tflite", "caffe"):
        assert f"//:gate@{name} runs: lowest cosine 1.000000" in said.stdout, said.stdout
    assert "//:gate@rk3588 was not run: its simulator reads ONNX" in said.stdout

    results = folder / "golden/gate/results/scores.npy"
    content = bytearray(results.read_bytes())
    content[-16:] = bytes(16)  # the last sample's scores are 0: no artifact gives that
    results.write_bytes(content)
    sums = folder / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith("results/scores.npy")]
    lines.append(f"{hashlib.sha256(content).hexdigest()}  golden/gate/results/scores.npy")
    sums.write_text("".join(f"{line}\n" for line in lines))
    said = outside(space, folder)
    assert said.returncode == 1 and "scores has cosine 0.000000" in said.stderr, said.stderr


def outside(space: Workspace, folder: Path) -> subprocess.CompletedProcess[str]:
    """verify.py with the Python of a toolchain, which has every runtime and no megbuild."""
    code = (
        "import sys, importlib.util as u; has = lambda name: bool(u.find_spec(name)); "
        "sys.exit(not all(map(has, ('megenginelite', 'onnxruntime', 'tflite_runtime', 'cv2'))) or has('megbuild'))"
    )
    for python in sorted((space.cache / "toolchains").glob("*/bin/python")):
        if subprocess.run([python, "-I", "-c", code], check=False).returncode == 0:
            return subprocess.run([python, "-I", folder / "verify.py"], capture_output=True, text=True, check=False)
    raise AssertionError("no toolchain has all runtimes")
