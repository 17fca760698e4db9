"""The lock: one writer, who it is, and what happens when it dies."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from megbuild.errors import MegbuildError
from megbuild.store.lock import acquire

_HOLD = """
import sys, time
from pathlib import Path
from megbuild.store.lock import acquire
lock = acquire(Path(sys.argv[1]), print, command="doit build //vision")
print("held", flush=True)
sys.stdin.read(1)
lock.release()
sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize("killed", [False, True])
def test_the_next_one_waits_and_says_once_for_whom(tmp_path: Path, killed: bool) -> None:
    said: list[str] = []
    with holder(tmp_path / ".megbuild") as other:

        def say(text: str) -> None:
            said.append(text)
            threading.Timer(0.1, let_go).start()

        def let_go() -> None:
            assert other.stdin
            if killed:
                other.send_signal(signal.SIGKILL)
            else:
                other.stdin.write(b"x")
                other.stdin.flush()

        with acquire(tmp_path / ".megbuild", say):
            pass
        other.kill()
    assert len(said) == 1
    assert re.fullmatch(rf"waiting for `doit build //vision` \(pid {other.pid}, started \d\d:\d\d:\d\d\)", said[0])


def test_a_free_lock_is_taken_in_silence_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        lock = acquire(tmp_path, pytest.fail)
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
        lock.release()
        lock.release()
        assert (tmp_path / "lock").read_text() == ""


def ended_by(folder: Path, error: BaseException) -> bool:
    """Whether the next holder is told that the last one died, when it ended by an error."""
    with suppress(type(error)), acquire(folder, pytest.fail):
        raise error
    with acquire(folder, pytest.fail) as lock:
        return lock.died


def test_who_is_interrupted_may_have_left_things_half_made(tmp_path: Path) -> None:
    assert ended_by(tmp_path, KeyboardInterrupt())
    assert ended_by(tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    assert not ended_by(tmp_path, MegbuildError(()))
    assert not acquire(tmp_path, pytest.fail).died


def test_a_death_is_not_forgotten_at_any_moment_of_the_next_start(tmp_path: Path) -> None:
    """Killed while it signs, or while it clears away what it found."""
    with holder(tmp_path) as dead:
        dead.kill()
    originals = {name: getattr(os, name) for name in ("truncate", "pwrite", "fdatasync")}
    for killed_at in range(4):
        child = os.fork()
        if not child:
            calls = iter(range(4))

            def counted(name: str, calls: Iterator[int], *arguments: Any, at: int = killed_at) -> Any:
                if next(calls) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return originals[name](*arguments)

            for name in originals:
                setattr(os, name, partial(counted, name, calls))
            acquire(tmp_path, print)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert (tmp_path / "lock").stat().st_size > 0, killed_at
    with acquire(tmp_path, pytest.fail) as lock:
        assert lock.died


def test_a_death_on_a_full_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        os.close(acquire(tmp_path, pytest.fail).descriptor)  # as the kernel does
    assert acquire(tmp_path, pytest.fail).died


def test_a_holder_that_has_not_signed_yet_is_another_build(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "wb") as unsigned:
        fcntl.flock(unsigned, fcntl.LOCK_EX)
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            fcntl.flock(unsigned, fcntl.LOCK_UN)

        acquire(tmp_path, say).release()
    assert said == ["waiting for another build"]


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    first = acquire(tmp_path, pytest.fail)

    def say(_: str) -> None:
        (tmp_path / "lock").unlink()
        first.release()

    with acquire(tmp_path, say) as second:
        assert os.path.samestat(os.fstat(second.descriptor), (tmp_path / "lock").stat())


def test_a_file_system_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(MegbuildError, match=r"has no locks.*\[MB601\]"):
        acquire(tmp_path, pytest.fail)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MegbuildError, match=r"cannot write .*\[MB602\]"):
        acquire(tmp_path / "file" / ".megbuild", pytest.fail)
