"""``doit hardware`` and ``doit doctor``: what a user reads before asking, and pastes into a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from megbuild.cli import doctor, hardware
from megbuild.declare.load import load


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "MODELS.toml").write_text("workspace = true\n")
    (tmp_path / "HARDWARE.toml").write_text('[board]\nformat = "mge"\nfamily = "Ours"\n')
    monkeypatch.chdir(tmp_path)
    for name in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH", "NEUWARE_HOME", "MAGICMIND_PYTHON"):
        monkeypatch.delenv(name, raising=False)


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_every_device_with_its_road(capsys: pytest.CaptureFixture[str]) -> None:
    assert hardware._tell([]) == 0
    lines = told(capsys)
    assert "rk3588 tm -> onnx -> rknn RK3588 and RK3588S" in lines
    assert "ethos-u55-128 tm -> tflite -> vela Ethos-U55 with 128 MAC units" in lines
    assert lines[-2:] == ["Ours", "board tm -> mge"]
    assert {line.split()[0] for line in lines} >= load(Path.cwd()).hardware.keys()


def test_all_of_one_device(capsys: pytest.CaptureFixture[str]) -> None:
    hardware._tell(["ascend310p3"])
    lines = told(capsys)
    assert "road tm -> onnx -> om" in lines
    assert "options target = Ascend310P3" in lines
    assert "verified on not run on the build machine" in lines
    hardware._tell(["rk3588"])
    assert "verified on rknn simulator" in told(capsys)


def test_what_is_there_and_what_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEGBUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NEUWARE_HOME", str(tmp_path / "neuware"))
    (tmp_path / "neuware/lib64").mkdir(parents=True)
    (tmp_path / "neuware/version.txt").write_text("Neuware Version 3.9.0\n")
    toolchain = load(Path.cwd()).toolchains["rknn"]
    (tmp_path / "cache/toolchains" / toolchain.digest / "bin").mkdir(parents=True)
    (tmp_path / "cache/toolchains" / toolchain.digest / "bin/python").touch()
    assert doctor._tell() == 0
    lines = told(capsys)
    assert lines[0] == lines[-1][:3] + "text" and lines[1].startswith("megbuild ")
    versions = next(line for line in lines if "mgeconvert 1.0.2" in line and line.startswith("with "))
    assert "megengine 1.13.0" in versions and "onnxruntime " in versions
    assert any(line.startswith("environment") and line.endswith("packages: there") for line in lines)
    assert any(line.endswith("packages: can be installed: doit toolchain sync megengine") for line in lines)
    assert "Cambricon Neuware: there, 3.9.0" in lines
    missing = lines.index("CANN Toolkit: must be obtained: none of ASCEND_TOOLKIT_HOME, ASCEND_HOME_PATH is set")
    assert "hiascend.com" in lines[missing + 1]
