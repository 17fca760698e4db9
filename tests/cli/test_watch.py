"""``doit watch`` as a user runs it, on a small graph of the speed benchmarks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAITING = "Ctrl-C ends it\n"


class Watching:
    """A watch that runs: ``until`` gives what it says up to a text."""

    def __init__(self, folder: Path, *labels: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(ROOT / "megbuild/cli/__main__.py"), "watch", *labels],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text: str) -> str:
        said = ""
        assert self.process.stdout
        while not said.endswith(text):
            line = self.process.stdout.readline()
            assert line, f"it ended without {text!r}:\n{said}"
            said += line
        return said


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models, built."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from speed import graph

    graph.lay_out(tmp_path / "workspace", 3, per_package=2)
    monkeypatch.setenv("MEGBUILD_CACHE", str(tmp_path / "cache"))
    script = str(ROOT / "benchmarks/speed/first_build.py")
    subprocess.run([sys.executable, script], cwd=tmp_path / "workspace", check=True, capture_output=True)
    return tmp_path / "workspace"


@pytest.fixture
def watching(workspace: Path) -> Iterator[Watching]:
    watching = Watching(workspace)
    yield watching
    if watching.process.poll() is None:
        watching.process.kill()
    watching.process.wait()
    assert watching.process.stdout
    watching.process.stdout.close()


def test_saves_one_after_the_other(workspace: Path, watching: Watching) -> None:
    first = watching.until(WAITING)
    assert first.startswith("everything is up to date: 6 outputs, nothing to run\nwatching ")

    (workspace / "team0000/notes.txt").write_text("nothing depends on this\n")
    watching.until("nothing is stale\n")

    source = workspace / "team0000/m000001.py"
    draft = source.with_name(".m000001.py.swp")
    draft.write_text(source.read_text() + "# a comment\n")
    draft.rename(source)  # as editors save
    said = watching.until(WAITING)
    labels = re.findall(r"^(//\S+)", said, re.MULTILINE)
    assert labels == ["//team0000:m000001@server", "//team0000:m000001@npu"]
    assert "6 outputs: 6 up to date" in said

    models = workspace / "team0001/MODELS.toml"
    sound = models.read_text()
    models.write_text(sound + "[models.\n")
    assert "team0001/MODELS.toml:10:9: is not TOML" in watching.until(WAITING)
    models.write_text(sound)
    assert "6 outputs: 6 up to date" in watching.until(WAITING)

    (workspace / "made/new").mkdir(parents=True)  # a new package, there all at once
    (workspace / "made/new/MODELS.toml").write_text(sound.replace("m000002", "m000009"))
    (workspace / "made/new").rename(workspace / "team0002")
    said = watching.until(WAITING)
    assert "there is no file team0002/m000009.py" in said

    watching.process.send_signal(signal.SIGINT)
    assert watching.until("watch ended\n") == "watch ended\n"
    assert watching.process.wait(10) == 0


def test_a_source_saved_unchanged_is_answered_by_its_content(workspace: Path, watching: Watching) -> None:
    watching.until(WAITING)
    source = workspace / "team0000/m000001.py"
    for _ in range(2):  # the second time it is compared with what the first one found
        source.touch()
        assert watching.until("nothing is stale\n") == "nothing is stale\n"
        text = source.read_text()
        draft = source.with_name(".m000001.py.swp")
        draft.write_text(text)
        draft.rename(source)
        assert watching.until("nothing is stale\n") == "nothing is stale\n"

    source.write_text(text.replace("scale = ", "scale = 9"))  # the same name, another content
    said = watching.until(WAITING)
    assert "run   //team0000:m000001#ftm" in said


def test_what_is_touched_in_one_round_with_a_change_does_not_hide_it(workspace: Path, watching: Watching) -> None:
    watching.until(WAITING)
    one, other = (workspace / f"team0000/m{number:06d}.py" for number in range(2))
    text = other.read_text()
    one.touch()
    other.write_text(text.replace("scale = ", "scale = 9"))
    said = watching.until(WAITING)
    assert "run   //team0000:m000001#ftm" in said and "m000000#ftm" not in said


def test_to_be_ended_is_no_failure_to_trace(watching: Watching) -> None:
    watching.until(WAITING)
    watching.process.send_signal(signal.SIGTERM)
    assert watching.until("watch ended\n") == "watch ended\n"
    assert watching.process.wait(10) == 0


def test_without_the_watcher(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from megbuild.cli.watch import Watch

    monkeypatch.chdir(workspace)
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert Watch().parse_execute([]) == 2
    assert "[MB408]\n  hint: pip install 'megbuild[watch]'" in capsys.readouterr().err


def test_a_number_of_jobs_that_cannot_be(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from megbuild.cli.watch import Watch

    monkeypatch.chdir(workspace)
    assert Watch().parse_execute(["--jobs=-1"]) == 2
    assert "--jobs is -1" in capsys.readouterr().err
