"""Locking a user's packages on top of a toolchain: real uv, wheels made here, no network."""

import hashlib
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from megbuild.declare import toolchains as declared
from megbuild.errors import MegbuildError
from megbuild.execute import environment_lock
from megbuild.release.packages import packages

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder, name, version, *requires):
    """A wheel with nothing but metadata; its SHA-256."""
    inner = f"{name}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {entry}\n" for entry in requires
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{inner}/METADATA", about)
        archive.writestr(
            f"{inner}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{inner}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A toolchain that pins array 1.0 and provides graphics, and an index with packages that use them."""
    index, folder = tmp_path / "index", tmp_path / "rules" / "toolchains" / "base"
    index.mkdir()
    folder.mkdir(parents=True)
    digest = wheel(index, "array", "1.0")
    wheel(index, "array", "2.0")
    wheel(index, "learn", "1.0", "array>=1", "threads")
    wheel(index, "learn", "2.0", "array>=2", "threads")
    wheel(index, "future", "1.0", "array>=2")
    wheel(index, "plot", "1.0", "graphics>=9", "array")
    wheel(index, "threads", "1.0")
    (folder / "toolchain.toml").write_text(f'python = "{MINOR}"\nprovides = ["graphics"]\n')
    (folder / "requirements.lock").write_text(f"array==1.0 \\\n    --hash=sha256:{digest}\n")
    (tmp_path / "uv.toml").write_text(f'no-index = true\nfind-links = ["{index}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return tmp_path


def lock(workplace, text, **options):
    requirements = workplace / "requirements.in"
    requirements.write_text(text)
    base = declared.describe("base", declared.folders(workplace / "rules"))
    return environment_lock.lock(requirements, base, lambda line: None, **options)


def refused(workplace, text):
    with pytest.raises(MegbuildError) as caught:
        lock(workplace, text)
    assert not (workplace / "requirements.lock").exists()
    (problem,) = caught.value.problems
    assert "\n" not in problem.message
    return problem


def test_it_holds_what_the_toolchain_does_not_have_in_versions_that_fit(workplace):
    written = lock(workplace, "learn\n")
    assert written == workplace / "requirements.lock"
    assert declared.pins(written) == {"learn": "1.0", "threads": "1.0"}
    assert written.read_text().count("--hash=sha256:") == 2
    base = declared.describe("base", declared.folders(workplace / "rules"))
    assert declared.with_environment(base, written, "mine").name == "base+mine"


def test_it_names_no_place(workplace):
    text = lock(workplace, "learn\n").read_text()
    assert str(workplace) not in text
    assert "//" not in text


def test_the_same_file_gives_the_same_bytes(workplace):
    first = lock(workplace, "plot\nlearn\n").read_bytes()
    assert lock(workplace, "plot\nlearn\n").read_bytes() == first
    (workplace / "requirements.lock").unlink()
    assert lock(workplace, "plot\nlearn\n").read_bytes() == first


def test_versions_are_kept_until_an_upgrade_is_asked_for(workplace):
    lock(workplace, "learn\n")
    wheel(workplace / "index", "threads", "1.1")
    assert declared.pins(lock(workplace, "learn\nplot\n"))["threads"] == "1.0"
    assert declared.pins(lock(workplace, "learn\n", upgrade=True))["threads"] == "1.1"


def test_what_the_toolchain_provides_is_neither_looked_for_nor_written(workplace):
    assert declared.pins(lock(workplace, "plot\ngraphics\n")) == {"plot": "1.0"}


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        ("threads\narray>=2\n", "MB311", 2, "this asks for array>=2, and the toolchain base has array==1.0"),
        ("learn==2.0\n", "MB311", 1, "learn asks for array>=2, and the toolchain base has array==1.0"),
        ("future\n", "MB311", 1, "future asks for array>=2, and the toolchain base has array==1.0"),
        ("graphics>=9\n", "MB311", 1, "this asks for graphics>=9, and the toolchain base has its own build of it"),
        ("learn==7.0\n", "MB312", 1, "there is no learn==7.0 in the package index"),
        ("absent\n", "MB312", 1, "there is no package absent in the package index"),
        ("learn\n!!\n", "MB310", 2, "this line is not a requirement"),
    ],
)
def test_what_cannot_be_is_one_error_at_its_line(workplace, text, code, line, said):
    problem = refused(workplace, text)
    assert problem.message.startswith(said)
    assert (problem.code, problem.where.located().line) == (code, line)


@pytest.mark.parametrize("name", ["missing.in", "index"])
def test_what_is_not_a_requirements_file_is_said(workplace, name):
    base = declared.describe("base", declared.folders(workplace / "rules"))
    with pytest.raises(MegbuildError, match="MB310"):
        environment_lock.lock(workplace / name, base, lambda line: None)


def test_a_toolchain_s_own_lock_leaves_out_what_it_says(workplace):
    known = declared.folders(workplace / "rules")
    folder = known["base"]
    wheel(workplace / "index", "heavy", "1.0")
    wheel(workplace / "index", "tool", "1.0", "heavy", "array")
    (folder / "toolchain.toml").write_text(f'python = "{MINOR}"\nleft_out = ["heavy"]\n')
    (folder / "requirements.in").write_text("tool\narray==1.0\n")
    assert environment_lock.lock_toolchain("base", known, lambda line: None) == (folder / "requirements.lock",)
    assert declared.pins(folder / "requirements.lock") == {"array": "1.0", "tool": "1.0"}


def test_a_lock_has_the_hash_of_one_file_each(workplace):
    """A package with files for several platforms: the one for ours, and not the one for every platform."""
    index = workplace / "index"
    anywhere = index / "threads-1.0-py3-none-any.whl"
    files = [index / f"threads-1.0-py3-none-{name}.whl" for name in ("manylinux_2_17_x86_64", "win_amd64")]
    for path in files:
        shutil.copyfile(anywhere, path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"threads/{path.stem}.py", "")
    text = lock(workplace, "threads\n").read_text()
    assert re.findall("sha256:([0-9a-f]+)", text) == [hashlib.sha256(files[0].read_bytes()).hexdigest()]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2]).glob("[er]*/**/requirements.lock")), ids=str)
def test_every_lock_of_this_repository_has_one_hash_each(path):
    """So that provenance names what was installed by its digest: after a change ``doit toolchain lock NAME``."""
    several = [package.url for package in packages(path.read_text()) if len(package.sha256) != 1]
    assert not several, f"{path}: doit toolchain lock {path.parent.name}"
