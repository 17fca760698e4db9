"""Finding interpreters: only what runs and says itself that it is the version asked for counts."""

import subprocess
import sys
from pathlib import Path

import pytest

from megbuild.errors import MegbuildError
from megbuild.execute import interpreters, uv

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
BASE = interpreters.find(MINOR)
ANSWER = '["cpython", [3, 99], 64, "x86_64", "{path}"]'


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No interpreter but those that the test makes: an empty PATH, no pyenv, an offline uv with nothing of its own."""
    monkeypatch.setattr("os.get_exec_path", lambda: [str(tmp_path / "bin")])
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    return tmp_path


def launcher(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def answering(path):
    """A program that answers as a CPython 3.99 would."""
    return launcher(path, f"echo '{ANSWER.format(path=path)}'")


def test_the_running_version_is_found_outside_of_its_virtual_environment():
    version = subprocess.run(
        [BASE, "-c", "import sys; print(sys.version_info[:2], sys.prefix == sys.base_prefix)"],
        capture_output=True,
        text=True,
    )
    assert version.stdout == f"{sys.version_info[:2]} True\n"


def test_one_on_path_is_found(alone):
    path = answering(alone / "bin" / "python3.99")
    assert interpreters.find("3.99") == path


@pytest.mark.parametrize(
    "script",
    [
        "echo 'pyenv: python3.99: command not found' >&2; exit 127",
        "echo Python 3.99.0",
        'echo \'["cpython", [3, 98], 64, "x86_64", "/p"]\'',
        'echo \'["pypy", [3, 99], 64, "x86_64", "/p"]\'',
        'echo \'["cpython", [3, 99], 64, "aarch64", "/p"]\'',
    ],
)
def test_a_launcher_that_refuses_or_is_another_version_is_passed_over(alone, script):
    launcher(alone / "bin" / "python3.99", script)
    answering(alone / "pyenv" / "versions" / "3.99.1" / "bin" / "python")
    assert interpreters.find("3.99") == str(alone / "pyenv/versions/3.99.1/bin/python")


def test_the_newest_of_pyenv_s_versions_is_taken(alone):
    for patch in ("2", "10", "9", "11-dev"):
        answering(alone / "pyenv" / "versions" / f"3.99.{patch}" / "bin" / "python")
    assert interpreters.find("3.99") == str(alone / "pyenv/versions/3.99.10/bin/python")


def test_pyenv_s_launchers_are_not_asked_as_its_versions_are(alone, monkeypatch):
    shim = launcher(alone / "pyenv/shims/python3.99", f"touch {alone}/asked; exit 1")
    monkeypatch.setattr("os.get_exec_path", lambda: [str(Path(shim).parent)])
    answering(alone / "pyenv" / "versions" / "3.99.1" / "bin" / "python")
    assert interpreters.find("3.99") == str(alone / "pyenv/versions/3.99.1/bin/python")
    assert not (alone / "asked").exists()


def test_none_is_one_error_with_three_ways_out(alone):
    said = []
    with pytest.raises(MegbuildError) as caught:
        interpreters.find("3.99", said.append)
    (problem,) = caught.value.problems
    assert problem.code == "MB320"
    assert problem.hint.count("3.99") == 3
    assert said == ["no Python 3.99 on this machine: uv downloads one"]


def test_without_uv_the_error_is_the_same(alone, monkeypatch):
    monkeypatch.setattr(uv.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(MegbuildError, match="MB321"):
        uv.program()
    with pytest.raises(MegbuildError, match="MB320"):
        interpreters.find("3.99")


def test_this_interpreter_exists():
    assert Path(BASE).is_absolute()
