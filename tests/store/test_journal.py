"""The journal, torn everywhere."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from megbuild.store.journal import Journal

LINES = [b'{"action":"//a:b@c"}', b"", b"x" * 100, "übung".encode()]


def written(path: Path) -> bytes:
    journal = Journal(path)
    for line in LINES:
        journal.append(line)
    return path.read_bytes()


def test_lines_come_back_in_order_until_cleared(tmp_path: Path) -> None:
    path = tmp_path / ".megbuild" / "journal"
    assert list(Journal(path).replay()) == []
    written(path)
    journal = Journal(path)
    assert list(journal.replay()) == LINES
    journal.append(b"more")
    assert list(journal.replay()) == [*LINES, b"more"]
    journal.clear()
    assert list(journal.replay()) == [] and not path.exists()
    journal.clear()
    journal.append(b"again")
    assert list(Journal(path).replay()) == [b"again"]
    with pytest.raises(ValueError, match="one line"):
        journal.append(b"two\nlines")


def test_a_journal_torn_at_any_byte_gives_the_whole_lines_and_goes_on(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    for size in range(len(whole) + 1):
        path = tmp_path / "torn"
        path.write_bytes(whole[:size])
        expected = LINES[: whole[:size].count(b"\n")]
        assert list(Journal(path).replay()) == expected
        Journal(path).append(b"next")
        # the torn line may have lost nothing but its newline, which the next one brings
        assert list(Journal(path).replay()) in ([*expected, b"next"], [*LINES[: len(expected) + 1], b"next"])


def test_a_flipped_bit_costs_no_other_line(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path = tmp_path / "flipped"
        path.write_bytes(flipped)
        kept = list(Journal(path).replay())
        assert set(kept) < set(LINES) and len(kept) >= len(LINES) - 2  # a lost newline joins two lines


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")

    def write(name: int) -> None:
        for number in range(10):
            journal.append(b"%d %d" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(journal.replay()) == sorted(b"%d %d" % (n, k) for n in range(4) for k in range(10))
