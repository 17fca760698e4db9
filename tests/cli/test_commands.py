"""The command line as a user meets it: exit statuses, and one line and a hint for what was typed wrongly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USAGE = 2


def doit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MEGBUILD_CACHE": str(folder / "cache")}
    command = [sys.executable, "-I", "-m", "megbuild.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the quickstart as its package ``net``."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(ROOT / "examples" / "quickstart", folder / "net", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "MODELS.toml").write_text("workspace = true\n")
    shutil.copy2(ROOT / "dodo.py", folder)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("build",),
        ("why", "//a:b"),
        ("schema",),
        ("graph",),
        ("hardware",),
        ("doctor",),
        ("toolchain",),
        ("forget", "//a:b"),
        ("release", "x"),
        ("lock",),
        ("check",),
    ],
)
def test_outside_a_workspace(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = doit(tmp_path, *words)
    assert done.returncode == USAGE
    assert done.stderr.startswith(f"no workspace was found in {tmp_path} or above [MB101]\n  hint: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build", "//net:digits@servr"), "did you mean //net:digits@server?"),
        (("build", "//nett/..."), "did you mean //net/...?"),
        (("build", "x86=fast", "//net:digits=x"), ""),  # doit takes these for its variables
        (("build", "//net:digits@server", "-n", "-1"), "--jobs is -1: it must be at least 1 [MB401]"),
        (("build", "//net:digits@server", "--fast"), "doit build: option --fast not recognized [MB401]"),
        (("build", "//net:digits@server", "--summary"), "doit build: option --summary requires argument [MB401]"),
        (("build", "--summary", "no/where.json"), "there is no folder no [MB401]"),
        (("build", ""), "an argument is empty [MB401]"),
        (("why",), "doit why needs a label [MB401]"),
        (("schema", "more"), "doit schema takes no 'more' [MB401]"),
        (("doctor", "more"), "doit doctor takes no 'more' [MB401]"),
        (("hardware", "x86", "cuda"), "doit hardware takes one name [MB401]"),
        (("hardware", "x87"), 'there is no hardware "x87" [MB115]'),
        (("graph", "more"), "doit graph takes no 'more' [MB401]"),
        (("toolchain", "instal"), "doit toolchain has no instal [MB401]"),
        (("toolchain", "sync", "megengin"), "there is no toolchain megengin [MB341]\n  hint: did you mean"),
        (("toolchain", "remove"), "doit toolchain remove needs a name [MB401]"),
        (("toolchain", "lock"), "doit toolchain lock needs one file or name [MB401]"),
        (("forget", "//net:nope"), "no model is named nope in //net [MB123]"),
    ],
)
def test_what_is_typed_wrongly(workspace: Path, words: tuple[str, ...], said: str) -> None:
    if not said:
        words = (*words, "--dry-run")
    done = doit(workspace, *words)
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert done.returncode == (USAGE if said else 0)


def test_an_unknown_option_is_told_by_doit(workspace: Path) -> None:
    done = doit(workspace, "forget", "--fast")
    assert done.returncode == 3
    assert "option --fast not recognized" in done.stderr and "Traceback" not in done.stderr


def test_options_may_stand_after_labels(workspace: Path) -> None:
    done = doit(workspace, "build", "//net:digits@server", "--dry-run", "-n", "2")
    assert done.returncode == 0 and "//net:digits#tm" in done.stdout


def test_toolchain_without_words_lists(workspace: Path) -> None:
    done = doit(workspace, "toolchain")
    assert done.returncode == 0
    assert "megengine " in done.stdout and "not installed" in done.stdout


def test_help_tells_options_and_labels(workspace: Path) -> None:
    told = doit(workspace, "help", "build").stdout
    for part in ("--jobs", "--keep-going", "--dry-run", "--summary", "//package/..."):
        assert part in told


def test_doits_own_commands_work_on_labels_in_every_folder(workspace: Path) -> None:
    label = "//net:digits@rk3588-int8"
    assert label in doit(workspace, "list", "--all").stdout
    assert label in doit(workspace / "net", "list", "--all").stdout
    assert "rknn for rk3588" in doit(workspace, "info", label).stdout


def test_output_that_nobody_reads_is_no_error(workspace: Path) -> None:
    schema = f"{sys.executable} -I -m megbuild.cli schema"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{schema} | head -c 1"], cwd=workspace, capture_output=True)
    assert (done.returncode in (0, 141), done.stderr) == (True, b"")


def checks(folder: Path, *steps: str) -> subprocess.CompletedProcess[str]:
    """``doit test`` of the project's dodo.py, with two steps of its own: one that passes and one that fails."""
    own = '\nBIN = Path("/usr/bin")\nSTEPS = {"bad": ["false"], "good": ["printf", "ran"]}\n'
    (folder / "dodo.py").write_text((ROOT / "dodo.py").read_text() + own)
    return doit(folder, "test", *steps)


def test_one_failing_step_fails_the_test_and_the_others_run_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "MODELS.toml").write_text("workspace = true\n")
    done = checks(tmp_path)
    assert done.returncode == 1
    assert "== bad: false" in done.stdout and "ran-- good: passed" in done.stdout
    assert "== bad FAILED, good passed" in done.stdout
    assert checks(tmp_path, "good").returncode == 0
    assert "doit test has no step godo" in checks(tmp_path, "godo").stderr


def test_a_broken_declaration_is_told_and_the_checks_run(tmp_path: Path) -> None:
    (tmp_path / "MODELS.toml").write_text("workspace = true\n[models.net]\nsorce = 1\n")
    done = checks(tmp_path, "good")
    assert done.returncode == 0
    assert "MODELS.toml:3:1" in done.stderr and "[MB104]" in done.stderr
