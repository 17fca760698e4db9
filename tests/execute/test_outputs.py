"""What an action puts in the place of its output: each is a clear failure within seconds, on the real box."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from megbuild.errors import MegbuildError
from megbuild.execute import staging
from megbuild.graph.actions import Action
from megbuild.graph.fingerprint import Fingerprint
from megbuild.store.content import ContentStore

from .conftest import Boxes

INSTEAD = {
    "nothing": ("pass", "ended well but did not make answer.txt"),
    "a folder": ("os.mkdir('out/answer.txt')", "ended well but did not make answer.txt"),
    "a folder with a file": ("os.mkdir('out/answer.txt'); open('out/answer.txt/x', 'w')", "did not make answer.txt"),
    "a pipe": ("os.mkfifo('out/answer.txt')", "left out/answer.txt, which is no plain file"),
    "a socket": ("socket.socket(socket.AF_UNIX).bind('out/answer.txt')", "left out/answer.txt, which is no plain file"),
    "a device": ("os.mknod('out/answer.txt', 0o20666, os.makedev(1, 5))", "exited with status 1"),
    "a link to the machine": ("os.symlink('/etc/passwd', 'out/answer.txt')", "which is no plain file"),
    "a link to nothing": ("os.symlink('nothing', 'out/answer.txt')", "which is no plain file"),
    "a hard link to an input": ("os.link('in/a', 'out/answer.txt')", "exited with status 1"),
    "a hard link to code": ("os.link('code/main.py', 'out/answer.txt')", "exited with status 1"),
    "a name with a newline": (r"open('out/answer.txt', 'w'); open('out/a\nb', 'w')", "which is no declared output"),
    "1 TB of holes": ("os.truncate(os.open('out/answer.txt', os.O_CREAT | os.O_RDWR), 1 << 40)", "wrote more than"),
}


@pytest.mark.parametrize("what", INSTEAD)
def test_what_stands_in_the_place_of_an_output(box: Boxes, what: str) -> None:
    code, said = INSTEAD[what]
    box.says("", in__a="a")  # the zygote has started
    begun = time.monotonic()
    failure = box.fails(f"import os, socket\n{code}", in__a="a")
    assert time.monotonic() - begun < 30
    assert said in failure.message, failure
    assert "Traceback" not in failure.message


def test_holes_that_the_store_has_no_room_for(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of holes within the limits takes nothing until it is copied."""
    monkeypatch.setattr(ContentStore, "room", lambda self: 1 << 20)
    failure = box.fails("import os\nos.truncate(os.open('out/answer.txt', os.O_CREAT | os.O_RDWR), 1 << 30)")
    assert "no room for the 1074 MB" in failure.message and "MB610" in failure.message


def test_more_files_than_can_be_kept(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_FILES", 50)
    failure = box.fails("for number in range(60):\n    open(f'out/{number}', 'w')")
    assert "left more than 50 files and folders [MB619]" in failure.message


@pytest.fixture
def staged(tmp_path: Path) -> tuple[Action, Fingerprint, ContentStore, Path]:
    """An action that has run: it makes an artifact, with what else a test puts beside it."""
    action = Action("//:m#x", "x", "", "//:m", "toy", (), ("artifact", "io.json"), artifact=("model.x", "model.y"))
    (tmp_path / "stage/out/artifact").mkdir(parents=True)
    for name in ("artifact/model.x", "artifact/model.y", "io.json"):
        (tmp_path / "stage/out" / name).write_text("x")
    return action, Fingerprint("", {}, {}), ContentStore(tmp_path / "store"), tmp_path / "stage"


def test_an_empty_artifact_is_none(staged: tuple[Action, Fingerprint, ContentStore, Path]) -> None:
    (staged[3] / "out/artifact/model.y").write_text("")  # weights of a network that has none
    assert len(staging.collect(*staged)) == 3
    (staged[3] / "out/artifact/model.x").write_text("")
    with pytest.raises(MegbuildError, match=r"made an empty model.x \[MB618\]"):
        staging.collect(*staged)


@pytest.mark.parametrize(
    "name",
    ["a\nb", "\x1b[2J", "\udcff", "x" * 250, "\u202egnp", "/".join(["deep"] * 201)],
    ids=lambda name: ascii(name[:8]),
)
def test_names_that_cannot_be_kept(staged: tuple[Action, Fingerprint, ContentStore, Path], name: str) -> None:
    path = staged[3] / "out/artifact" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    with pytest.raises(MegbuildError) as error:
        staging.collect(*staged)
    (problem,) = error.value.problems
    assert problem.code == "MB404" and problem.message.isprintable()


def test_a_folder_in_the_place_of_a_file_of_the_artifact(
    staged: tuple[Action, Fingerprint, ContentStore, Path],
) -> None:
    path = staged[3] / "out/artifact/model.y"
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")
    with pytest.raises(MegbuildError, match=r"did not make artifact/model.y \[MB403\]"):
        staging.collect(*staged)
