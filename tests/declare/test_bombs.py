"""Declarations that were made to exhaust somebody: each is refused within seconds, and within a bound of memory."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from megbuild.declare import trust
from megbuild.declare.labels import Pattern
from megbuild.declare.load import load
from megbuild.declare.toml_file import LONGEST
from megbuild.declare.tree import TooWide, Tree
from megbuild.errors import MOST, MegbuildError
from megbuild.store.files import Files

from .conftest import SOUND, Write

SECONDS = 30
"""Of the processor; each takes a fraction."""
MEMORY = 700_000
"""In kB."""


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - begun < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


def deep(number: int) -> str:
    return ".".join(["a"] * number)


BOMBS = {
    "lists in lists": ("x = " + "[" * 100_000, "MB103"),
    "closed lists in lists": ("x = " + "[" * 5000 + "]" * 5000, "MB103"),
    "tables in tables": ("x = " + "{a=" * 100_000, "MB103"),
    "a dotted key": (deep(100_000) + " = 1", "MB103"),
    "a dotted key as deep as may be": (deep(900) + " = 1", "MB104"),
    "many deep dotted keys": ("".join(f"{deep(400)}.k{n} = 1\n" for n in range(1500)), "MB104"),
    "a dotted table": ("[" + deep(100_000) + "]", "MB103"),
    "many tables": ("[[models.net.inputs]]\n" * 90_000, "MB106"),
    "many keys": ("".join(f"k{n} = 1\n" for n in range(120_000)), "MB138"),
    "many keys of a model": ("[models.net]\n" + "".join(f"k{n} = 1\n" for n in range(120_000)), "MB138"),
    "many models": ("".join(f"[models.m{n}]\n" for n in range(100_000)), "MB138"),
    "many defaults": ("[defaults]\n" + "".join(f"k{n} = 1\n" for n in range(120_000)), "MB138"),
    "many paths": (SOUND.replace("[models.net.out", "data = [" + '"../x",' * 100_000 + "]\n[models.net.out"), "MB138"),
    "one long line": ("x = [" + "1," * 500_000 + "]", "MB104"),
    "a number": ("x = " + "9" * 1_000_000, "MB103"),
    "a hexadecimal number": ("[models.net]\ninputs = 0x" + "f" * 1_000_000, "MB105"),
    "a string": (f'x = "{"a" * 1_500_000}"', "MB104"),
    "a key": (f'"{"a" * 1_500_000}" = 1', "MB104"),
    "a model's name": (f'[models."{"a" * 1_500_000}"]\n', "MB107"),
    "a value": (SOUND.replace("net.py:build", "a" * 1_500_000), "MB112"),
    "a path": (SOUND.replace("[models.net.out", f'data = "{"a/" * 500_000}"\n[models.net.out'), "MB110"),
    "a label": (f'default = "//{"a/" * 500_000}"', "MB123"),
    "dots": (f'default = "//{"./" * 500_000}..."', ""),
    "up and up": (f'default = "{"../" * 500_000}"', "MB122"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_declarations(write: Write, toy_rules: Path, what: str) -> None:
    text, code = BOMBS[what]
    assert len(text) < LONGEST
    root = write({"pyproject.toml": "", "MODELS.toml": f"workspace = true\n{text}\n", "net.py": "def build(): ...\n"})
    try:
        load(root, asked=(), builtin=toy_rules)
        said = ""
    except MegbuildError as error:
        said = str(error)
    assert code in said if code != "MB123" else True, said[:1000]
    assert len(said) < 300_000 and said.count("\n") < 3 * MOST


@pytest.mark.parametrize("name", ["MODELS.toml", "HARDWARE.toml", "MODELS.trust", "net.py"])
def test_a_file_beyond_reason_is_not_read(write: Write, toy_rules: Path, name: str) -> None:
    root = write({"MODELS.toml": SOUND, "net.py": "def build(): ...\n"})
    (root / name).touch()
    os.truncate(root / name, 100 << 30)
    with pytest.raises(MegbuildError, match="MB137"):
        load(root, builtin=toy_rules)


def test_many_bad_lines_of_a_trust_file() -> None:
    with pytest.raises(MegbuildError):
        trust.parse("bad\n" * 300_000)


@pytest.mark.parametrize(
    "text", ["//" + "a/" * 500_000 + "a", "//" + "a" * 1_000_000, "../" * 500_000, "@" * 1_000_000, ":" * 1_000_000, "//...:" + "x" * 10**6]
)  # fmt: skip
def test_labels(text: str) -> None:
    try:
        Pattern.parse(text, "/".join(["d"] * 1000))
    except MegbuildError as error:
        assert len(str(error)) < 1000


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    """A small tree that is endless for whoever follows its links, and one that is deep."""
    for name in ("a", "b"):
        (tmp_path / "loops").mkdir(exist_ok=True)
        (tmp_path / "loops" / name).symlink_to(".")
    (tmp_path / "loops/x.npy").touch()
    place = tmp_path
    for _ in range(40):
        place = place / "deep"
        place.mkdir()
        (place / "x.npy").touch()
    return tmp_path


def test_stars_upon_stars(loops: Path) -> None:
    """``**`` as often as one likes finds each file once, and goes through each folder once for each of them."""
    pattern = "/".join(["**"] * 60) + "/*.npy"
    once = Tree(str(loops)).glob("**/*.npy")
    assert len(once) == 41
    assert Tree(str(loops)).glob(pattern) == once
    assert Files(loops).glob(pattern) == once
    between = "/".join(["**", "deep"] * 20) + "/**/*.npy"
    assert len(Tree(str(loops)).glob(between)) == len(Files(loops).glob(between)) == 21


def test_links_that_lead_back(loops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("megbuild.declare.tree.MOST_FOLDERS", 2000)
    monkeypatch.setattr("megbuild.store.files._MOST_FOLDERS", 2000)
    pattern = "loops/" + "*/" * 14 + "*.npy"
    with pytest.raises(TooWide):
        Tree(str(loops)).glob(pattern)
    with pytest.raises(MegbuildError, match="MB615"):
        Files(loops).glob(pattern)


def test_links_that_lead_back_are_told_at_their_place(
    write: Write, toy_rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("megbuild.declare.tree.MOST_FOLDERS", 1000)
    files = SOUND.replace("[models.net.out", f'samples = "loops/{"*/" * 20}*.npy"\n[models.net.out')
    root = write({"MODELS.toml": files, "net.py": "def build(): ...\n", "loops/x.npy": ""})
    for name in ("a", "b"):
        (root / "loops" / name).symlink_to(".")
    with pytest.raises(MegbuildError, match=r"MODELS.toml:\d+:\d+: .*leads through more than .* folders \[MB139\]"):
        load(root, builtin=toy_rules)


def test_a_tree_as_deep_as_the_kernel_lets_it(tmp_path: Path, write: Write, toy_rules: Path) -> None:
    """A path may have 4096 bytes: two thousand folders, one below the other."""
    root = write(
        {
            "MODELS.toml": SOUND.replace("[models.net.out", 'data = "**/*.txt"\n[models.net.out'),
            "net.py": "def build(): ...\n",
        }
    )
    here = os.open(root, os.O_DIRECTORY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        with pytest.raises(MegbuildError, match="MB113"):
            load(root, builtin=toy_rules)
        with pytest.raises(MegbuildError, match=r"File name too long.*MB603"):
            Files(root).glob("**/*.txt")
    finally:  # Python's own cleaning up is no match for it
        subprocess.run(["rm", "-rf", str(root)], check=True)
