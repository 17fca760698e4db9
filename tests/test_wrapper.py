"""``./doit`` in a fresh checkout: it makes its environment from the lock, once, and is out of the way afterwards."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("doit", "dodo.py", "megbuild", "rules", "pyproject.toml", "README.md", "LICENSE", "requirements.lock")
READY = "megbuild: .venv is ready"


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(command, cwd=cwd, env={**environment, **variables}, capture_output=True, text=True)


def copied(folder: Path) -> Path:
    """What a clone holds, in a new folder."""
    folder.mkdir(exist_ok=True)
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds, in a folder with a space, after two first uses at once with an empty cache."""
    folder = copied(tmp_path_factory.mktemp("check out"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    cache = {**os.environ, "MEGBUILD_CACHE": str(folder.parent / "cache")}
    both = [subprocess.Popen(["./doit", "help"], cwd=folder, text=True, env=cache, **pipes) for _ in range(2)]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum(READY in errors for _, errors in told) == 1, told
    return folder


def test_the_environment_is_what_the_lock_names(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    uv = python.with_name("uv")
    lock = checkout / "requirements.lock"
    changes = run(uv, "pip", "sync", "--dry-run", "--offline", "--python", python, lock, cwd=checkout)
    assert "Would uninstall 1 package" in changes.stderr and "- megbuild==" in changes.stderr, changes.stderr
    assert "+" not in changes.stderr.replace("+ megbuild", "")


def test_megbuild_in_it_is_the_checkout_s_own(checkout: Path) -> None:
    code = "import megbuild, importlib.metadata as m; print(megbuild.__file__, m.version('megbuild') == megbuild.__version__)"
    done = run(checkout / ".venv/bin/python", "-I", "-c", code, cwd=checkout.parent)
    assert done.stdout == f"{checkout}/megbuild/__init__.py True\n", done.stderr


def test_its_programs_run_where_they_stand(checkout: Path) -> None:
    first = (checkout / ".venv" / "bin" / "mypy").read_text().splitlines()[:2]
    assert str(checkout / ".venv" / "bin" / "python") in "\n".join(first)


def test_nothing_else_is_started_when_it_is_in_order(checkout: Path, tmp_path: Path) -> None:
    done = run("./doit", "--version", cwd=checkout, PATH=str(tmp_path))  # there is nothing on PATH to start
    assert (done.returncode, done.stderr) == (0, "")


def test_links_and_folders_below(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(checkout / "doit")
    (tmp_path / "two").symlink_to("one")
    assert run(tmp_path / "two", "--version", cwd=tmp_path).returncode == 0
    assert run("../doit", "--version", cwd=checkout / "rules").returncode == 0
    assert run("sh", "doit", "--version", cwd=checkout).returncode == 0


def test_a_touched_lock_changes_nothing_and_a_changed_one_is_followed(checkout: Path) -> None:
    lock = checkout / "requirements.lock"
    os.utime(lock)
    assert run("./doit", "--version", cwd=checkout).stderr == ""
    lock.write_text("# a comment\n" + lock.read_text())
    os.utime(lock, (1, 1))  # older than before: as a checkout with kept times leaves it
    assert READY in run("./doit", "--version", cwd=checkout).stderr
    assert run("./doit", "--version", cwd=checkout).stderr == ""


def test_the_loop_in_c_is_compiled_anew_when_it_changed_or_was_not_known(checkout: Path) -> None:
    made = checkout / ".venv" / "megbuild"
    library = made / "moved.so"
    before = library.read_bytes()
    source = checkout / "megbuild/store/moved.c"
    source.write_text(source.read_text().replace("megbuild_moved(", "megbuild_other("))
    assert READY in run("./doit", "--version", cwd=checkout).stderr
    assert b"megbuild_other" in library.read_bytes() and b"megbuild_moved" not in library.read_bytes()
    source.write_text(source.read_text().replace("megbuild_other(", "megbuild_moved("))
    (made / "moved.c").unlink()  # as an environment of an older version
    assert READY in run("./doit", "--version", cwd=checkout).stderr
    assert library.read_bytes() == before
    source.write_text("this does not compile\n")
    done = run("./doit", "--version", cwd=checkout)
    assert done.returncode == 0 and READY in done.stderr and not library.exists()


def test_an_environment_that_was_not_finished_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "megbuild" / "root").unlink()
    shutil.rmtree(next((checkout / ".venv" / "lib").glob("python*/site-packages/rich")))
    done = run("./doit", "help", cwd=checkout)
    assert done.returncode == 0 and "first use" in done.stderr
    assert list((checkout / ".venv" / "lib").glob("python*/site-packages/rich"))


def test_the_next_checkout_needs_no_pip(checkout: Path, tmp_path: Path) -> None:
    another = copied(tmp_path / "another")
    cache = {"MEGBUILD_CACHE": str(checkout.parent / "cache"), "PIP_NO_INDEX": "1"}
    done = run("./doit", "--version", cwd=another, **cache)
    assert READY in done.stderr, done.stderr
    assert not list((another / ".venv").glob("lib/*/site-packages/pip"))


def test_a_package_that_is_not_the_locked_one_is_refused(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".venv"))
    lock = copy / "requirements.lock"
    stanza = re.compile(r"^uv==(?:.*\\\n)*", re.MULTILINE)
    lock.write_text(stanza.sub(lambda match: re.sub(r"sha256:.{8}", "sha256:00000000", match[0]), lock.read_text()))
    done = run("./doit", "help", cwd=copy)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "[MB323]" in done.stderr


def test_no_python_at_all_is_one_error(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".venv"))
    done = run("./doit", "help", cwd=copy, PATH=str(tmp_path), HOME=str(tmp_path), PYENV_ROOT=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("doit: no Python 3.10 or newer was found [MB320]\n  hint: ")
