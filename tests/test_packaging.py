"""The wheel and the sdist: built twice, installed into a fresh environment, used as a plug-in of doit there. No network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from megbuild.execute import uv

ROOT = Path(__file__).parents[1]


def build(source: Path, target: Path, *options: str) -> dict[str, bytes]:
    """The distributions that hatchling makes of a source folder, by file name."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *options]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in target.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel installed; its dependencies are those of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = [uv.program(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel]
    subprocess.run(install, check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # comes after the environment's own
    return python


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The quickstart as a workspace of its own, without a dodo.py."""
    folder = tmp_path / "work"
    shutil.copytree(ROOT / "examples" / "quickstart", folder, ignore=shutil.ignore_patterns("__pycache__"))
    models = folder / "MODELS.toml"
    models.write_text("workspace = true\n" + models.read_text())
    (folder / "pyproject.toml").write_text('[tool.doit]\nloader = "megbuild"\n')
    return folder


def doit(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MEGBUILD_CACHE": str(folder.parent / "cache")}
    command = [python, "-I", "-m", "doit", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_equal_sources_give_equal_distributions(built: Path, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in built.iterdir()}
    assert build(ROOT, tmp_path) == first


def test_another_folder_umask_zone_locale_seed_and_times_give_the_same_distributions(
    built: Path, tmp_path: Path
) -> None:
    """What git has is laid out again, in the other order, with other permissions and times."""
    source = tmp_path / "quite another folder"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    before = os.umask(0o077)
    try:
        for name in sorted(filter(None, listed.split("\0")), reverse=True):
            if (ROOT / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, source / name)
                if os.access(ROOT / name, os.X_OK):
                    (source / name).chmod(0o700)
                os.utime(source / name, (1, 1))
        varied = {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": str(tmp_path), "USER": "someone"}
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / "made")]
        subprocess.run(command, cwd=source, env={"PATH": os.environ["PATH"], **varied}, check=True, capture_output=True)
    finally:
        os.umask(before)
    first = {path.name: path.read_bytes() for path in built.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()} == first


def test_the_wheel_of_the_sdist_is_the_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path)  # ours, made above
    (source,) = tmp_path.iterdir()
    wheels = {path.name: path.read_bytes() for path in built.glob("*.whl")}
    assert build(source, tmp_path / "again", "-t", "wheel") == wheels
    assert os.access(source / "doit", os.X_OK)


def test_the_wheel_has_every_rule_and_the_code_of_the_workers(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    listed = subprocess.run(["git", "ls-files", "rules", "megbuild"], cwd=ROOT, capture_output=True, text=True)
    for path in listed.stdout.split():
        if (ROOT / path).exists():
            assert path.replace("rules/", "megbuild_rules/", 1) in names if path.startswith("rules/") else path in names
    assert "megbuild/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests", "examples"))]


def test_an_installation_lists_labels_without_a_dodo(python: Path, workspace: Path) -> None:
    listed = doit(python, workspace, "list", "--all")
    assert listed.returncode == 0, listed.stderr
    assert "//:digits@rk3588-int8" in listed.stdout


def test_an_installation_plans_a_build(python: Path, workspace: Path) -> None:
    planned = doit(python, workspace, "build", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "would run     //:digits#weights  (never built)" in planned.stdout
    assert not (workspace / "out").exists()


def test_an_installation_has_the_schema_and_the_roads(python: Path, workspace: Path) -> None:
    schema = doit(python, workspace, "schema")
    assert json.loads(schema.stdout)["title"] == "MODELS.toml", schema.stderr
    assert "onnx -- rknn --> rknn" in doit(python, workspace, "graph", "--routes").stdout


def test_a_mistake_in_a_workspace_without_a_dodo_fails_the_list(python: Path, workspace: Path) -> None:
    models = workspace / "MODELS.toml"
    models.write_text(models.read_text().replace('"x86"', '"x68"'))
    listed = doit(python, workspace, "list")
    assert listed.returncode == 3  # doit's own status for a workspace that it cannot load
    assert 'there is no hardware "x68" [MB115]' in listed.stderr and "Traceback" not in listed.stderr


def test_the_rules_that_run_are_the_installed_ones(python: Path) -> None:
    code = "from megbuild.declare.rules import builtin_rules_folder as f; print(f())"
    folder = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert folder.startswith(str(python.parents[1])) and folder.endswith("megbuild_rules")
    digests = {
        path.relative_to(ROOT / "rules"): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (ROOT / "rules").rglob("worker.py")
    }
    for path, digest in digests.items():
        assert hashlib.sha256(Path(folder, path).read_bytes()).hexdigest() == digest
