"""Records: round trip, damage, missing blobs."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest, digest_bytes
from megbuild.store.records import Record, RecordStore, complete

KEY = "ab" * 32


def record(content: ContentStore) -> Record:
    return Record(
        key=KEY,
        action="//vision:resnet18@rk3588",
        outputs={"out/artifact/b.rknn": content.put_bytes(b"b"), "out/artifact/a.json": content.put_bytes(b"a")},
        components={"option precision": "int8", "option level": 3, "toolchain": "rknn"},
        duration_s=1.25,
        memory=300_000_000,
        log=digest_bytes(b"a log that was never kept"),
        toolchain="rknn",
        toolchain_digest="cd" * 32,
        megbuild="0.1.0",
    )


def test_a_record_comes_back(tmp_path: Path) -> None:
    content, warnings = ContentStore(tmp_path), list[str]()
    records = RecordStore(tmp_path, content, warnings.append)
    assert records.get(KEY) is None
    records.put(record(content))
    assert records.get(KEY) == record(content)
    line, checksum = (tmp_path / "ac" / "ab" / KEY).read_text().splitlines()
    assert checksum == hashlib.sha256(line.encode()).hexdigest()
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
    assert warnings == []


def test_a_record_without_its_blobs_is_a_miss_but_not_without_its_log(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    records = RecordStore(tmp_path, content, pytest.fail)
    made = record(content)
    records.put(made)
    assert complete(made, content)
    content.path(made.outputs["out/artifact/b.rknn"]).unlink()
    assert not complete(made, content)
    assert records.get(KEY) is None
    content.put_bytes(b"b")
    assert records.get(KEY) == made


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_flipped_bit_is_a_miss_with_a_warning(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content, warnings = ContentStore(Path(folder)), list[str]()
        records = RecordStore(Path(folder), content, warnings.append)
        records.put(record(content))
        path = Path(folder, "ac", "ab", KEY)
        stored = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, len(stored) * 8 - 1))
        stored[bit // 8] ^= 1 << bit % 8
        path.unlink()
        path.write_bytes(stored)
        assert records.get(KEY) is None
        assert len(warnings) == 1 and str(path) in warnings[0]
        assert not path.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"key": "cd" * 32}, "record of cdcd"),
        ({"extra": 1}, "extra"),
        ({"log": 7}, "log"),
    ],
)
def test_a_record_of_another_shape_is_a_miss_with_a_warning(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    content, warnings = ContentStore(tmp_path), list[str]()
    records = RecordStore(tmp_path, content, warnings.append)
    fields = msgspec.to_builtins(record(content)) | change
    line = json.dumps(fields)
    path = tmp_path / "ac" / "ab" / KEY
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n{hashlib.sha256(line.encode()).hexdigest()}\n")
    assert records.get(KEY) is None
    assert len(warnings) == 1 and why in warnings[0]
    assert not path.exists()


def test_an_empty_record_names_no_outputs(tmp_path: Path) -> None:
    records = RecordStore(tmp_path, ContentStore(tmp_path), pytest.fail)
    made = Record(KEY, "//a:b#verdict", {}, {}, 0.0, 0, None, "", "", "0.1.0")
    records.put(made)
    assert records.get(KEY) == made
    assert Digest("0", 1) not in made.outputs.values()
