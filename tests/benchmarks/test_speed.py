"""At ten thousand actions: everything that a build depends on is seen when it changes, and nothing is done in vain.

The graph is that of the speed benchmarks, built as they build it: by megbuild's own code in one process, with actions
that hash what they read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from megbuild import pipeline
from megbuild.execute import local
from megbuild.store import files, noop

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODELS = 2500


@pytest.fixture(scope="module")
def speed() -> Iterator[Any]:
    """The package that the benchmarks share."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from speed import first_build, graph

        yield {"graph": graph, "first_build": first_build}
    finally:
        sys.path.remove(str(BENCHMARKS))


def lay_out(speed: Any, folder: Path, count: int) -> Path:
    """A workspace below ``folder``, built once, with the store in its ``cache``."""
    root = folder / "workspace"
    speed["graph"].lay_out(root, count)
    script = str(BENCHMARKS / "speed/first_build.py")
    environment = {**os.environ, "MEGBUILD_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, script], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    # four conversions and two verdicts a model
    assert (said["ran"], said["outputs"]) == (6 * count, 2 * count)
    return root


@pytest.fixture(scope="module")
def large(speed: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand actions, up to date; the tests of this module change it one after the other."""
    return lay_out(speed, tmp_path_factory.mktemp("large"), MODELS)


class Build:
    """Builds in this process, with what ran and what was hashed."""

    def __init__(self, speed: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.speed, self.monkeypatch = root, speed, monkeypatch
        monkeypatch.setenv("MEGBUILD_CACHE", str(root.parent / "cache"))
        monkeypatch.setattr(local, "Local", lambda *given: speed["first_build"].Hashing(given[3]))
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
        self.hashed: Counter[str] = Counter()
        digest_file = files.digest_file

        def counted(path: Any) -> Any:
            self.hashed[str(path)] += 1
            return digest_file(path)

        monkeypatch.setattr(files, "digest_file", counted)

    def look(self) -> noop.Looked:
        looked = noop.look(str(self.root), str(self.root))
        assert looked
        return looked

    def prepare(self) -> pipeline.Prepared:
        return pipeline.prepare(pipeline.Asked((), self.root, self.look()), pytest.fail)

    def __call__(self, looked: noop.Looked | None = None) -> tuple[pipeline.Report, int]:
        """The report, and how many actions ran."""
        self.hashed.clear()
        listener = self.speed["first_build"].Silent()
        asked = pipeline.Asked((), self.root, looked)
        return pipeline.build(asked, listener, self.speed["first_build"].in_order), listener.ran


@pytest.fixture
def build(speed: Any, large: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    return Build(speed, large, monkeypatch)


def moved(looked: noop.Looked) -> set[str]:
    paths = looked.note.paths()
    return {paths[at] for at in looked.moved} | set(looked.came)


def test_a_file_of_one_model_changes(build: Build) -> None:
    """Only that model is looked at; what is told of the others still holds for the build after it."""
    assert build.look().unchanged
    source = build.root / "team0003/m000333.py"
    source.write_text(source.read_text().replace("scale = ", "scale = 1 + "))
    looked = build.look()
    assert "team0003/m000333.py" in moved(looked)
    prepared = build.prepare()
    assert {action.model for action in prepared.graph.actions.values()} == {"//team0003:m000333"}
    assert len(prepared.graph.actions) == 6
    assert [model.label for model in prepared.workspace.models] == ["//team0003:m000333"]
    assert prepared.others == 2 * MODELS - 2

    report, ran = build(looked)
    assert ran == 6 and {row.status for row in report.rows} == {"built"} and report.others == 2 * MODELS - 2
    assert set(build.hashed) == {str(source)}
    again = build.look()
    assert again.unchanged and again.note.summary == f"everything is up to date: {2 * MODELS} outputs, nothing to run"
    assert again.note.count == looked.note.count

    artifact = build.root / "out/team0003/m000333/npu/m000333.frknn"  # of what was just built, and of what was not
    other = build.root / "out/team0004/m000400/server/m000400.fmge"
    artifact.write_bytes(b"by hand")
    other.unlink()
    report, ran = build(build.look())
    assert ran == 0 and {row.label for row in report.rows if row.status == "restored"} == {
        "//team0003:m000333@npu",
        "//team0004:m000400@server",
    }
    assert other.exists() and build.look().unchanged


def test_a_source_is_saved_by_renaming(build: Build) -> None:
    """As editors do: the folder looks different too, and still nothing else has to be looked at."""
    source = build.root / "team0005/m000501.py"
    draft = source.with_name("m000501.py~")
    draft.write_text(source.read_text() + "# a comment\n")
    draft.rename(source)
    looked = build.look()
    assert {"team0005/m000501.py", "team0005"} <= moved(looked)
    report, ran = build(looked)
    assert (ran, len(report.rows), report.others) == (0, 2, 2 * MODELS - 2)
    assert build.look().unchanged


def test_a_failed_model_does_not_bring_the_others_back(build: Build) -> None:
    source = build.root / "team0006/m000601.py"
    sound = source.read_text()
    source.write_text("def build(:\n")
    for _ in range(2):
        with pytest.raises(Exception, match="not valid Python"):
            build(build.look())
    source.write_text(sound)
    report, ran = build(build.look())
    assert (ran, len(report.rows), report.others) == (0, 2, 2 * MODELS - 2)


def test_every_time_of_modification_is_reset(build: Build) -> None:
    """As a fresh checkout over a workspace that was built: content decides, and is read once."""
    for folder, folders, names in os.walk(build.root):
        if ".megbuild" in folders:
            folders.remove(".megbuild")
        for name in names:
            os.utime(os.path.join(folder, name), (1_600_000_000, 1_600_000_000))  # noqa: PTH118 - of thousands
    looked = build.look()
    assert len(looked.moved) > 5 * MODELS
    report, ran = build(looked)
    assert ran == 0 and {row.status for row in report.rows} == {"up to date"} and len(report.rows) == 2 * MODELS
    assert set(build.hashed.values()) == {1}
    assert len(build.hashed) > 5 * MODELS
    build.hashed.clear()
    assert build.look().unchanged
    assert not build.hashed


def _write(path: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return change


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a source": (_write("team0000/m000001.py", "def build():\n    return 7\n"), "team0000/m000001.py"),
    "the file that all share": (_write("common.txt", "other\n"), "common.txt"),
    "a MODELS.toml": (_write("team0001/MODELS.toml", ""), "team0001/MODELS.toml"),
    "a MODELS.toml in a folder without one": (_write("team0002/new/MODELS.toml", ""), "team0002"),
    "a MODELS.toml in a new folder": (_write("newcomers/MODELS.toml", ""), "."),
    "the hardware": (_write("HARDWARE.toml", '[npu]\nformat = "frknn"\n'), "HARDWARE.toml"),
    "a rule": (_write("rules/fonnx/rule.py", "RULE = None\n"), "rules/fonnx/rule.py"),
    "what a rule runs": (_write("rules/fmge/worker.py", "def build(job): ...\n"), "rules/fmge/worker.py"),
    "a module beside a rule": (_write("rules/ftm/more.py", ""), "rules/ftm"),
    "another rule": (_write("rules/later/rule.py", ""), "rules"),
    "a toolchain's lock": (_write("rules/toolchains/copy/requirements.lock", "# 2\n"), "rules/toolchains/copy/requirements.lock"),
    "a toolchain": (_write("rules/toolchains/copy/toolchain.toml", 'python = "3.10"\n'), "rules/toolchains/copy/toolchain.toml"),
    "a module of a toolchain": (_write("rules/toolchains/copy/site/extra.py", ""), "rules/toolchains/copy"),
    "an output, edited": (_write("out/team0007/m000700/npu/m000700.frknn", "x"), "out/team0007/m000700/npu/m000700.frknn"),
    "a record, edited": (_write("out/team0007/m000701/npu/record.json", "{}"), "out/team0007/m000701/npu/record.json"),
    "an output, deleted": (
        lambda root: (root / "out/team0008/m000800/server/m000800.fmge").unlink(),
        "out/team0008/m000800/server/m000800.fmge",
    ),
    "all outputs of a model, deleted": (
        lambda root: shutil.rmtree(root / "out/team0009/m000900"),
        "out/team0009/m000900/npu/record.json",
    ),
    "a source, deleted": (lambda root: (root / "team0010/m001000.py").unlink(), "team0010/m001000.py"),
}  # fmt: skip


def test_whatever_changes_is_seen(build: Build) -> None:
    """One change after the other on top: each is seen as such, beside those that were there before."""
    before = moved(build.look())
    assert not before
    for what, (change, path) in CHANGES.items():
        change(build.root)
        looked = build.look()
        after = moved(looked)
        absolute = str(build.root / path)
        assert (path in after or absolute in after) and path not in before, what
        assert before <= after, what
        before = after


def test_a_fresh_clone_with_a_warm_store(speed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No state and no artifacts: all of it comes from the store, and every file is read once."""
    root = lay_out(speed, tmp_path, 50)
    shutil.rmtree(root / "out")
    shutil.rmtree(root / ".megbuild")
    build = Build(speed, root, monkeypatch)
    report, ran = build()
    assert ran == 0 and {row.status for row in report.rows} == {"restored"} and len(report.rows) == 100
    assert set(build.hashed.values()) == {1}
    build.hashed.clear()
    assert build.look().unchanged
    assert not build.hashed
