"""What earlier versions of megbuild wrote: it is read, or replaced without a word.

The files in ``formats/`` were written by the first version of each format, and are never changed. A new format adds one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from megbuild.store import noop, records, state
from megbuild.store.content import ContentStore
from megbuild.store.digests import Stamp
from megbuild.store.records import Record, RecordStore
from megbuild.store.state import State

FORMATS = Path(__file__).parent / "formats"
KEY = "ab" * 32
MADE = b"made by the first version\n"


def place(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((FORMATS / name).read_bytes())
    return path


def test_every_format_has_its_file() -> None:
    """Who raises a format keeps what the last one wrote as a file here, and says below what becomes of it."""
    assert (records.FORMAT, state._HEAD, noop._HEAD) == (3, b"megbuild state 2\n", b"megbuild fresh 4\n")
    files = {path.name for path in FORMATS.iterdir()}
    assert files == {"record-1", "record-2", "state-1", "state-2", "journal-1", "journal-2"}


def test_the_state_and_the_journal_of_the_second_version_are_read(tmp_path: Path) -> None:
    place(tmp_path / ".megbuild/state", "state-2")
    place(tmp_path / ".megbuild/journal", "journal-2")
    found = State.load(tmp_path, pytest.fail)
    assert found.built["//a:b#tm"].key == KEY
    assert found.built["//a:b@onnx"].components == {"option:x": "1"}
    assert tuple(found.known["a/net.py"]) == (Stamp(1, 2, 3, 4), "ef" * 32)
    assert found.published["//a:b@x"]["out/a/b/x/b.mge"].sha256 == "01" * 32
    assert found.published["//a:b@onnx"]["out/a/b/onnx/b.onnx"].stamp == Stamp(9, 10, 11, 12)


@pytest.mark.parametrize("name", ["state-1", "journal-1"])
def test_a_state_and_a_journal_of_the_first_version_are_replaced(tmp_path: Path, name: str) -> None:
    place(tmp_path / ".megbuild" / name.partition("-")[0], name)
    heard: list[str] = []
    found = State.load(tmp_path, heard.append)
    assert not found.built and not found.published
    assert len(heard) == 1 and "another version of megbuild" in heard[0]
    found.save()
    assert State.load(tmp_path, pytest.fail).built == {}


def test_a_record_of_the_first_version_is_a_miss_that_stays_until_it_is_replaced(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    made = content.put_bytes(MADE)
    path = place(tmp_path / "ac/ab" / KEY, "record-1")
    store = RecordStore(tmp_path, content, pytest.fail)
    assert store.get(KEY) is None
    assert path.read_bytes() == (FORMATS / "record-1").read_bytes()  # a version that shares the store may need it
    new = Record(KEY, "//a:b#tm", {"artifact/b.tm": made}, {}, 1.0, 1, None, "megengine", "cd" * 32, "0.2.0")
    store.put(new)
    assert store.get(KEY) == new


def test_a_record_of_the_second_version_is_read(tmp_path: Path) -> None:
    """It does not say which inputs were not read."""
    content = ContentStore(tmp_path)
    made = content.put_bytes(MADE)
    place(tmp_path / "ac/ab" / KEY, "record-2")
    found = RecordStore(tmp_path, content, pytest.fail).get(KEY)
    assert found and (found.outputs, found.memory, found.unread) == ({"artifact/b.tm": made}, 1, None)


def test_what_the_first_version_stored_is_still_there(tmp_path: Path) -> None:
    """Contents have no format: their name is their digest."""
    content = ContentStore(tmp_path)
    digest = content.put_bytes(MADE)
    assert (tmp_path / "cas" / digest.sha256[:2] / digest.sha256).read_bytes() == MADE
    assert f'"sha256":"{digest.sha256}"' in (FORMATS / "record-1").read_text()


def test_a_note_of_another_version_is_no_answer(tmp_path: Path) -> None:
    note = Path(noop.note_path(str(tmp_path), "x"))
    note.parent.mkdir(parents=True)
    note.write_bytes(b"".join(noop.encode("x", "all is well", 0, {}, {}, {}, {})))
    before = note.read_bytes()
    read = noop.read(str(tmp_path), "x")
    assert before.startswith(noop._HEAD) and read is not None and read.summary == "all is well"
    for version in (b"fresh 1", b"fresh 2", b"fresh 3", b"fresh 5"):
        note.write_bytes(before.replace(b"fresh 4", version))
        assert noop.look(str(tmp_path), "x") is None
