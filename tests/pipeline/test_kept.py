"""A build of the models that a change matters to takes their declarations from beside the note, or loads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import megbuild
from megbuild import pipeline
from megbuild.declare import load
from megbuild.declare.models import Workspace
from megbuild.errors import MegbuildError
from megbuild.pipeline import kept as module
from megbuild.pipeline.kept import kept
from megbuild.store import noop

NET = "//:net"


@pytest.fixture
def built(toy: Any) -> Any:
    """Two models of two packages, up to date. The samples of both are their own."""
    rest = (toy.root / "MODELS.toml").read_text().replace("workspace = true\n", "")
    more = {"sub/MODELS.toml": rest, "sub/net.py": "def build(weights): return 2\n", "sub/samples/0.npy": "one"}
    toy.write({**more, "sub/train.py": "def train(path): return 3\n"})
    assert not toy.report().failed
    assert look(toy).unchanged
    return toy


def look(toy: Any) -> noop.Looked:
    found = noop.look(str(toy.root), str(toy.root))
    assert found
    return found


def prepared(toy: Any) -> pipeline.Prepared:
    return pipeline.prepare(pipeline.Asked((), toy.root, look(toy)), pytest.fail)


def told(workspace: Workspace) -> Any:
    """What builds go by, with rules by what they say."""
    rules = [
        (rule.name, rule.folder, rule.origin, [getattr(rule.rule, name) for name in rule.rule.__struct_fields__])
        for rule in workspace.rules
    ]
    functions = [(name, *(f for f in fields if not callable(f))) for *name, fields in rules]
    shown = (workspace.root, workspace.default, workspace.models, dict(workspace.hardware), dict(workspace.trusted))
    return *shown, dict(workspace.toolchains), functions


def test_it_is_what_a_load_gives(built: Any) -> None:
    built.write({"net.py": "def build(weights): return 5\n"})
    found = kept(look(built), {NET})
    assert found and told(found) == told(load.load(built.root, (), {NET}))
    npu = next(rule.rule for rule in found.rules if rule.name == "npu")
    assert npu.needs(type("Options", (), {"precision": "int8"})) == ("calibration",)


def test_nothing_is_loaded_for_a_file_that_changed(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it holds for the builds after it: that build read no declarations."""
    monkeypatch.setattr(load, "load", lambda *given: pytest.fail("it was loaded"))
    for number in (5, 6):
        built.write({"net.py": f"def build(weights): return {number}\n"})
        assert {action.model for action in prepared(built).graph.actions.values()} == {NET}
        listener = built.listen()
        asked = pipeline.Asked((), built.root, look(built))
        report = pipeline.build(asked, listener, lambda slices: in_order(slices))
        assert {row.status for row in report.rows} == {"built"} and report.others == 3
        assert look(built).unchanged


def in_order(slices: Any) -> None:
    for work in slices:
        for id in work.stale:
            work.builder.ensure(id)
        work.over()


def _write(path: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / path).write_text(text)

    return change


def _away(root: Path) -> None:
    (root / "net.py").rename(root.parent / "net.py")
    (root / "net.py").symlink_to(root.parent / "net.py")


def _pipe(root: Path) -> None:
    (root / "net.py").unlink()
    os.mkfifo(root / "net.py")


def _folder(root: Path) -> None:
    (root / "net.py").unlink()
    (root / "net.py").mkdir()


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a source without its function": (_write("net.py", "def other(weights): return 1\n"), "MB112"),
    "a training without its function": (_write("train.py", "train = 3 +\n"), "MB112"),
    "a source that is too long": (_write("net.py", "def build(weights): return 1\n" + "#" * (3 << 20)), "MB137"),
    "no source": (lambda root: (root / "net.py").unlink(), "MB111"),
    "a link that leaves the workspace": (_away, "MB110"),
    "a pipe": (_pipe, "MB136"),
    "a folder": (_folder, "MB111"),
    "no samples": (lambda root: (root / "samples/0.npy").unlink(), "MB113"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_load_would_refuse_is_refused(built: Any, what: str) -> None:
    change, code = REFUSED[what]
    change(built.root)
    assert kept(look(built), {NET}) is None
    with pytest.raises(MegbuildError, match=code) as raised:
        prepared(built)
    assert [problem.code for problem in raised.value.problems] == [code]


@pytest.mark.parametrize("key", ["samples", "data"])
def test_another_file_is_seen(built: Any, key: str) -> None:
    """A folder has moved, so the declarations are read again; that it was also searched for packages is no matter."""
    text = (built.root / "MODELS.toml").read_text()
    built.write({"MODELS.toml": text.replace("[models.net.outputs.x86]", 'data = "data"\n[models.net.outputs.x86]')})
    built.write({"data/0.txt": "zero"})
    assert not built.report().failed and look(built).unchanged
    built.write({f"{key}/1.npy": "two"})
    assert kept(look(built), {NET}) is None
    inputs = [entry for action in prepared(built).graph.actions.values() for entry in action.inputs]
    assert any(entry.path.endswith(f"{key}/1.npy") for entry in inputs)


@pytest.mark.parametrize("change", ["MODELS.toml", "sub/MODELS.toml"])
def test_a_declaration_that_changed_is_read(built: Any, change: str) -> None:
    text = (built.root / change).read_text()
    built.write({"net.py": "def build(weights): return 5\n", change: text + "[models.net.outputs.caffe]\n"})
    assert len(prepared(built).workspace.models) == 2
    assert [model for model in prepared(built).workspace.models if len(model.outputs) == 4]


def beside(toy: Any) -> Path:
    return Path(noop.kept_path(noop.note_path(str(toy.root), str(toy.root))))


def test_only_the_code_that_kept_it_takes_it(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built.write({"net.py": "def build(weights): return 5\n"})
    assert kept(look(built), {NET})
    monkeypatch.setattr(megbuild, "__version__", "another")
    assert kept(look(built), {NET}) is None and len(prepared(built).workspace.models) == 1


def test_only_the_note_that_knows_it_takes_it(built: Any) -> None:
    built.write({"net.py": "def build(weights): return 5\n"})
    workspace = load.load(built.root, ())
    module.keep(workspace, beside(built))
    assert kept(look(built), {NET}) is None and len(prepared(built).workspace.models) == 1


@pytest.mark.parametrize("damage", ["gone", "empty", "short", "changed"])
def test_a_damaged_one_is_not_taken(built: Any, damage: str) -> None:
    built.write({"net.py": "def build(weights): return 5\n"})
    path = beside(built)
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        at = content.index(b"build")
        changed = content[:at] + b"other" + content[at + 5 :]
        path.write_bytes({"empty": b"", "short": content[:-40], "changed": changed}[damage])
    assert kept(look(built), {NET}) is None and len(prepared(built).workspace.models) == 1


def test_it_goes_with_its_note(built: Any) -> None:
    assert beside(built).exists()
    pipeline.forget(pipeline.Asked((), built.root), pytest.fail)
    assert not list((built.root / ".megbuild/fresh").iterdir())
