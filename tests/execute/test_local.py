"""The local runner, with this Python in the place of a toolchain's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from megbuild.declare.models import Toolchain
from megbuild.execute import environments, local
from megbuild.execute.failure import ActionFailed, log_tail
from megbuild.execute.local import Local, _folder_name
from megbuild.execute.toolchains import Installed
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.fingerprint import fingerprint
from megbuild.store.content import ContentStore
from megbuild.store.digests import digest_bytes

CODE = "# one\n# two\n\n\ndef build():\n    # three\n    raise ValueError('broken')\n"
CANONICAL = "def build():\n    raise ValueError('broken')\n"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Local:
    monkeypatch.setattr(
        environments, "installed", lambda toolchain, cache: Installed("toy", "0", sys.executable, sys.prefix, {})
    )
    root = tmp_path / "a workspace"
    root.mkdir()
    (root / "net.py").write_text(CODE)
    toolchains = {"toy": Toolchain("toy", "0", "3.11", "/")}
    return Local(root, root / ".megbuild", tmp_path / "cache", ContentStore(tmp_path / "store"), toolchains, print)


def action(code: str, staged: str = CANONICAL, id: str = "//a/b:m#x") -> Action:
    source = Leaf("in/source/net.py", digest_bytes(staged.encode()), "net.py", content=staged.encode())
    return Action(
        id, "x", "", "//a/b:m", "toy", (source,), ("answer.txt",), ("python", "-B", "-c", code), {"DECLARED": "yes"}
    )


def run(runner: Local, code: str, staged: str = CANONICAL) -> bytes:
    asked = action(code, staged)
    outputs = runner.run(asked, fingerprint(asked, None, {})).outputs
    return runner.content.read(outputs["answer.txt"])


def test_the_environment_is_what_is_declared(runner: Local) -> None:
    answer = run(runner, "import os; open('out/answer.txt', 'w').write(repr(dict(os.environ)))").decode()
    assert set(eval(answer)) == {"PATH", "HOME", "TMPDIR", "LC_ALL", "PYTHONHASHSEED", "DECLARED"}
    runner.stop()
    assert not list((runner.folder / "actions").iterdir())


IMPORT = "import sys; sys.path.insert(0, 'in/source'); import net; net.build()"


def test_a_failure_shows_the_lines_that_the_user_wrote(runner: Local) -> None:
    with pytest.raises(ActionFailed) as error:
        run(runner, IMPORT)
    failure = error.value
    assert failure.message == "exited with status 1"
    assert 'File "net.py", line 7, in build' in "\n".join(failure.tail)
    assert failure.log == ".megbuild/logs/a+b+m@x.log"
    again = subprocess.run(failure.by_hand, shell=True, capture_output=True, text=True)
    assert again.returncode == 1
    assert "ValueError: broken" in again.stderr


def test_code_that_is_staged_as_written_keeps_its_lines(runner: Local) -> None:
    with pytest.raises(ActionFailed) as error:
        run(runner, IMPORT, CODE)
    assert 'File "net.py", line 7, in build' in "\n".join(error.value.tail)


def test_a_refusal_is_told_in_the_workers_words(runner: Local) -> None:
    with pytest.raises(ActionFailed) as error:
        run(runner, "open('out/refusal.txt', 'w').write('no such operator: Foo\\n'); raise SystemExit(3)")
    assert (error.value.message, error.value.refused, error.value.tail) == ("no such operator: Foo", True, ())


def test_an_undeclared_output_is_a_failure_with_its_log(runner: Local) -> None:
    with pytest.raises(ActionFailed, match=r"left out/b\.txt, which is no declared output") as error:
        run(runner, "print('hello'); open('out/answer.txt', 'w'); open('out/b.txt', 'w')")
    assert error.value.tail == ("hello",)


def test_time_limits(runner: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TIME_LIMIT", 0.3)
    with pytest.raises(ActionFailed, match="ran out of time"):
        run(runner, "import time; time.sleep(60)")


def test_what_a_killed_build_left_is_no_input(runner: Local) -> None:
    left = runner.folder / "actions" / "a+b+m@x" / "in" / "source"
    left.mkdir(parents=True)
    (left / "old.py").write_text("")
    assert run(runner, "import os; open('out/answer.txt', 'w').write(','.join(os.listdir('in/source')))") == b"net.py"


IDS = ["//a/b:m#x", "//a-b:m#x", "//a:b-m#x", "//a.b:m#x", "//a:b#m+x", "//a/b:m#x+measured", "//:a+b#x", "//:m#x", "//m:x#x", "//:m#é", "//:m#è", "//:m#" + "x" * 300]  # fmt: skip


def test_unlike_actions_have_unlike_folders() -> None:
    names = [_folder_name(id) for id in IDS]
    assert len(set(names)) == len(IDS)
    assert all(len(name.encode()) < 250 and "/" not in name and not name.startswith((".", "-")) for name in names)
    assert names[0] == "a+b+m@x"


def test_two_actions_whose_names_look_alike_do_not_meet(runner: Local) -> None:
    code = "import os, time; time.sleep(0.2); open('out/answer.txt', 'w').write('x')"
    failures: list[BaseException] = []

    def one(id: str) -> None:
        asked = action(code, id=id)
        try:
            runner.run(asked, fingerprint(asked, None, {}))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(id,)) for id in ("//a/b:m#x", "//a-b:m#x", "//a:b-m#x")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_log_is_shown_as_it_can_be(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[31mred\n\xff\n" + b"x" * 1000 + b'\nFile "/tmp/s/in/source/gone.py", line 3\n')
    shown = log_tail(log, tmp_path, tmp_path)
    assert shown[0] == "\N{REPLACEMENT CHARACTER}[31mred"
    assert [len(line) for line in shown[1:3]] == [1, 300]
    assert shown[3] == 'File "/tmp/s/in/source/gone.py", line 3'
    assert log_tail(tmp_path / "none", tmp_path, tmp_path) == ()


def test_half_of_a_script_to_run_it_by_hand_is_none(runner: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails while it is written, and lets nothing be removed: the next build does that."""
    write, take = os.write, local.remove

    def torn(descriptor: int, content: bytes) -> int:
        if bytes(content).startswith(b"#!/bin/sh"):
            write(descriptor, bytes(content)[:10])
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return write(descriptor, content)

    with monkeypatch.context() as failing:
        failing.setattr(os, "write", torn)
        failing.setattr(local, "remove", lambda folder: None)
        with pytest.raises(ActionFailed) as error:
            run(runner, IMPORT)
    assert error.value.by_hand == ""
    (left,) = (path for path in (runner.folder / "actions").iterdir() if path.name.startswith("a+"))
    assert not (left / "run.sh").exists()
    with pytest.raises(ActionFailed) as error:  # another one, whose script is whole
        asked = replace(action("raise SystemExit(1)"), id="//a/b:m#y")
        runner.run(asked, fingerprint(asked, None, {}))
    runner.stop()
    again = Local(runner.root, runner.folder, runner.cache, runner.content, runner.toolchains, print)
    assert local.remove is take
    asked = replace(action("open('out/answer.txt', 'w')"), id="//a/b:m#z")
    again.run(asked, fingerprint(asked, None, {}))
    again.stop()
    assert [path.name for path in (runner.folder / "actions").iterdir()] == ["a+b+m@y"]
    assert error.value.by_hand.endswith("a+b+m@y/run.sh'") or error.value.by_hand.endswith("a+b+m@y/run.sh")
