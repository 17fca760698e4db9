"""What an action finds, and what it may leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from megbuild.errors import MegbuildError
from megbuild.execute.staging import Moved, collect, stage
from megbuild.graph.actions import Action, Leaf, Product
from megbuild.graph.fingerprint import Fingerprint, fingerprint
from megbuild.store.content import ContentStore, Missing
from megbuild.store.digests import Digest, digest_bytes


@pytest.fixture
def staged(tmp_path: Path) -> tuple[Action, Fingerprint, ContentStore, Path]:
    content = ContentStore(tmp_path / "store")
    (tmp_path / "file").write_bytes(b"file")
    action = Action(
        "//:m#x", "x", "", "//:m", "toy",
        (
            Leaf("in/file", digest_bytes(b"file"), "file", origin=str(tmp_path / "file")),
            Leaf("request.json", digest_bytes(b"{}"), "request", content=b"{}", kind="request"),
            Product("in/tm", "//:m#tm", "artifact"),
        ),
        ("artifact", "io.json"), artifact=("model.x",),
    )  # fmt: skip
    made = {"//:m#tm": {"artifact/model.tm": content.put_bytes(b"tm"), "io.json": content.put_bytes(b"io")}}
    return action, fingerprint(action, None, made), content, tmp_path / "stage"


def test_exactly_the_inputs_and_room_for_outputs(staged: tuple[Action, Fingerprint, ContentStore, Path]) -> None:
    stage(*staged)
    folder = staged[3]
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert found == ["home", "in", "in/file", "in/tm", "in/tm/model.tm", "out", "out/artifact", "request.json", "tmp"]
    assert all(path.stat().st_mode & 0o222 == 0 for path in folder.rglob("*") if path.is_file())


def test_a_file_that_changed_or_went(staged: tuple[Action, Fingerprint, ContentStore, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"FILE")
    with pytest.raises(Moved, match="file"):
        stage(*staged)
    (tmp_path / "file").unlink()
    with pytest.raises(Moved):
        stage(staged[0], staged[1], staged[2], tmp_path / "again")


def test_a_product_that_the_store_lost(staged: tuple[Action, Fingerprint, ContentStore, Path], tmp_path: Path) -> None:
    lost: Digest = staged[1].staged["in/tm/model.tm"]
    (tmp_path / "store/cas" / lost.sha256[:2] / lost.sha256).unlink()
    with pytest.raises(Missing):
        stage(*staged)


def test_code_that_lies_elsewhere_leaves_an_empty_folder(tmp_path: Path) -> None:
    leaf = Leaf("code/worker.py", digest_bytes(b"pass"), "worker.py", content=b"pass", kind="code")
    action = Action("//:m#x", "x", "", "//:m", "toy", (leaf,), ("y",))
    stage(action, fingerprint(action, None, {}), ContentStore(tmp_path / "store"), tmp_path / "a", code=False)
    assert list((tmp_path / "a/code").iterdir()) == []


def works(folder: Path) -> None:
    (folder / "out/artifact/model.x").write_text("x")
    (folder / "out/io.json").write_text("{}")


def test_what_was_made(staged: tuple[Action, Fingerprint, ContentStore, Path]) -> None:
    stage(*staged)
    works(staged[3])
    (staged[3] / "out/artifact/more").mkdir()
    (staged[3] / "out/artifact/more/side.json").write_text("1")
    (staged[3] / "home/.cache").write_text("private")
    assert sorted(collect(*staged)) == ["artifact/model.x", "artifact/more/side.json", "io.json"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "out/artifact/model.x").unlink(), "did not make artifact/model.x"),
        (lambda f: (f / "out/io.json").unlink(), "did not make io.json"),
        (lambda f: (f / "out/more").write_text(""), "left out/more, which is no declared output"),
        (lambda f: (f / "scratch").write_text(""), "left scratch, which is no declared output"),
        (lambda f: (f / "in/new").write_text(""), "left in/new, which is no declared output"),
        (lambda f: (f / "empty").symlink_to("/"), "left empty, which is no declared output"),
        (lambda f: (f / "in/file").chmod(0o644) or (f / "in/file").write_text("!"), "changed its input in/file"),
        (lambda f: (f / "in/file").unlink(), "removed its input in/file"),
        (
            lambda f: (f / "in/file").unlink() or (f / "in/file").symlink_to("/etc/hostname"),
            "changed its input in/file",
        ),
        (lambda f: (f / "out/artifact/link").symlink_to("model.x"), "left out/artifact/link, which is no plain file"),
        (
            lambda f: (f / "out/artifact/nowhere").symlink_to("nothing"),
            "left out/artifact/nowhere, which is no plain file",
        ),
        (lambda f: (f / "out/artifact/folder").symlink_to("/etc"), "left out/artifact/folder, which is no plain file"),
        (lambda f: os.mkfifo(f / "out/artifact/pipe"), "left out/artifact/pipe, which is no plain file"),
    ],
)
def test_what_may_not_be(
    staged: tuple[Action, Fingerprint, ContentStore, Path], spoil: Callable[[Path], object], said: str
) -> None:
    stage(*staged)
    works(staged[3])
    spoil(staged[3])
    with pytest.raises(MegbuildError, match=said):
        collect(*staged)


def test_a_sealed_box_could_not_change_inputs(staged: tuple[Action, Fingerprint, ContentStore, Path]) -> None:
    stage(*staged)
    works(staged[3])
    assert collect(*staged, sealed=True) == collect(*staged)
    (staged[3] / "out/b.txt").write_text("")
    with pytest.raises(MegbuildError, match="MB404"):
        collect(*staged, sealed=True)
