"""Digests and stamps."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from megbuild.store.digests import QUIET, Stamp, digest_bytes, digest_file, quiet_at, stamp


def test_a_digest_is_the_sha256_and_size_of_a_content(tmp_path: Path) -> None:
    content = b"megengine" * 300_000
    (tmp_path / "model").write_bytes(content)
    assert digest_file(tmp_path / "model") == digest_bytes(content)
    assert str(digest_bytes(content)) == hashlib.sha256(content).hexdigest()
    assert digest_bytes(content).size == len(content)


def test_a_stamp_tells_every_kind_of_change(tmp_path: Path) -> None:
    path = tmp_path / "model"
    assert stamp(path) is None and stamp(path / "below") is None
    path.write_bytes(b"one")
    first = stamp(path)
    assert first and first.size == 3
    assert stamp(tmp_path / "." / "model") == first
    os.utime(path, ns=(1, first.mtime_ns + 1))
    assert stamp(path) != first
    replaced = tmp_path / "other"
    replaced.write_bytes(b"two")
    os.utime(replaced, ns=(first.mtime_ns, first.mtime_ns))
    replaced.rename(path)
    second = stamp(path)
    assert second and second.mtime_ns == first.mtime_ns and second.inode != first.inode


def test_a_content_belongs_to_its_stamp_once_the_clock_has_moved_on() -> None:
    assert quiet_at(Stamp(5, 1_000_000_007, 1, 1)) == 1_000_000_007 + QUIET
    assert quiet_at(Stamp(5, 1_000_000_000, 1, 1)) > 3_000_000_000  # times in whole seconds
