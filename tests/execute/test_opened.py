"""Which inputs an action opened: told by the kernel, whoever opens them and however."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from megbuild.execute import opened
from megbuild.execute.opened import Watched, declared
from megbuild.graph.actions import Action, Leaf, Product
from megbuild.graph.fingerprint import fingerprint
from megbuild.store.digests import digest_bytes

from .conftest import Boxes, boxes

NAMES = ("read", "statted", "mapped", "by_child", "by_number", "listed", "untouched")
CODE = """
    import ctypes, mmap, os, subprocess
    open('in/read').close()
    os.stat('in/statted'), os.access('in/statted', os.R_OK), os.open('in/statted', os.O_PATH)
    with open('in/mapped', 'rb') as file:
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]
    subprocess.run(['/usr/bin/cat', 'in/by_child'], check=True)
    assert ctypes.CDLL(None).open(b'in/by_number', 0) > 0
    os.listdir('in')
    open('out/answer.txt', 'w').close()
"""


def unread(box: Boxes) -> tuple[str, ...] | None:
    leaves = [Leaf(f"in/{name}", digest_bytes(b"x"), name, content=b"x") for name in NAMES]
    code = textwrap.dedent(CODE).encode()
    leaves.append(Leaf("code/main.py", digest_bytes(code), "main.py", content=code, kind="code"))
    arguments = ("python", "-B", "-s", "code/main.py")
    action = Action("//a:m#x", "x", "", "//a:m", "toy", tuple(leaves), ("answer.txt",), arguments)
    return box.runner.run(action, fingerprint(action, None, {})).unread


LEFT = ("in/listed", "in/statted", "in/untouched")


def test_what_an_action_did_not_open(box: Boxes) -> None:
    """From a warm zygote and anew; by its own code, by C code, and by a program that it starts."""
    assert unread(box) == LEFT


@pytest.mark.parametrize("without", ["namespaces", "landlock"])
def test_it_is_known_in_a_weaker_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    box = boxes(tmp_path, monkeypatch, ["json"], without)
    assert unread(box) == LEFT
    box.runner.stop()


def test_a_file_that_is_opened_often_is_one_event(tmp_path: Path) -> None:
    """More openings than the kernel keeps events for: none of another file is lost."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("x")
    watched = Watched(tmp_path, ["a", "b", "c"])
    for _ in range(20_000):
        os.close(os.open(tmp_path / "a", os.O_RDONLY))
    os.close(os.open(tmp_path / "c", os.O_RDONLY))
    assert watched.unread() == ("b",)


def test_what_cannot_be_watched_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    assert Watched(tmp_path, ["a", "missing"]).unread() is None
    code = f"""
import resource, sys; sys.path.insert(0, {str(Path(opened.__file__).parents[2])!r})
from pathlib import Path
from megbuild.execute.opened import Watched
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # no descriptor is left for it
print(Watched(Path({str(tmp_path)!r}), ["a"]).unread())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_no_descriptor_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert Watched(tmp_path, ["a"]).unread() == ("a",)
        Watched(tmp_path, ["missing"]).unread()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_declared_inputs_are_the_users_files() -> None:
    inputs = (
        Leaf("in/source/a.py", digest_bytes(b""), "a.py", content=b"", seen="x"),
        Leaf("code/x.py", digest_bytes(b""), "x.py", kind="code"),
        Leaf("request.json", digest_bytes(b""), "request", content=b"", kind="request"),
        Product("in/tm", "//a:m#tm", "artifact"),
    )
    assert declared(Action("//a:m#x", "x", "", "//a:m", "toy", inputs, ())) == ("in/source/a.py",)
