"""What actions and deliveries leave for megbuild to read or to put somewhere, made by somebody who means harm."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from megbuild.execute.failure import ActionFailed, located, log_tail, refusal
from megbuild.execute.undeclared import undeclared
from megbuild.graph.actions import Action
from tests.fuzz.targets import TRAINING
from tests.worker.test_onnx_wire import OUTSIDE, PLACES, field

from .conftest import Boxes

ONNX = {
    "honest": (field(7, field(5, field(1, 1) + field(9, b"1234"))), ""),
    "weights elsewhere": (PLACES["body of a loop"], "in another file (external data)"),
    "a name for a terminal": (field(7, field(5, field(14, 1) + field(8, b"\x1b[2J"))), "in another file"),
    "terabytes": (field(7, field(5, field(1, 10**12))), "claims 1000000000000 values"),
    "cut off": (field(7, OUTSIDE)[:-1], "cut off, or no ONNX file"),
}


@pytest.mark.parametrize("what", ONNX)
@pytest.mark.parametrize("output", ["onnx", "blob"])
def test_a_delivered_onnx_file_is_looked_through_on_every_road(toy: Any, what: str, output: str) -> None:
    """Also where a vendor's compiler is the first that would parse it."""
    content, said = ONNX[what]
    toy.write({"MODELS.toml": f"""
        workspace = true
        [models.given]
        onnx = {{ path = "given.onnx", sha256 = "{hashlib.sha256(content).hexdigest()}" }}
        inputs = [{{ name = "data", shape = [1, 3] }}]
        results = [{{ name = "prob", shape = [1, 10] }}]
        [models.given.outputs.{output}]
    """, "HARDWARE.toml": """
        [blob]
        format = "blob"
    """, "rules/compiler/worker.py": "", "rules/compiler/rule.py": """
        from megbuild.rule import Rule
        RULE = Rule(consumes="onnx", produces="blob", files=(".blob",), toolchain="convert", runs_on=("simulator",))
    """})  # fmt: skip
    (toy.root / "given.onnx").write_bytes(content)
    row = toy.build()[f"//:given@{output}"]
    assert said in row.reason and row.status == ("failed" if said else "built"), row
    if said:
        assert "[MB617]" in row.reason and all(map(str.isprintable, row.reason.splitlines()))
        assert not [id for id in toy.ran if id.startswith("//:given")], "a tool has seen it"


@pytest.mark.parametrize("made_by", ["before", "meanwhile"])
def test_a_link_in_the_place_of_an_outputs_folder(toy: Any, tmp_path: Path, made_by: str) -> None:
    """Nothing is written through it, even when it appears while the build runs."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def link() -> None:
        (toy.root / "out/net").mkdir(parents=True, exist_ok=True)
        (toy.root / "out/net/x86").symlink_to(outside)

    def meanwhile(action: Action, folder: Path) -> None:
        toy.usual(action, folder)
        link()

    if made_by == "before":
        link()
    else:
        toy.work["//:net#mge"] = meanwhile
    row = toy.build("//:net@x86")["//:net@x86"]
    assert row.status == "failed" and "[MB614]" in row.reason
    assert not list(outside.iterdir())


MEASURES = [
    b"",
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"results": {}}',
    b"[" * 5000,
    b"\xff",
    b'{"results": [], "samples": "x", "synthetic": 0}',
]


@pytest.mark.parametrize("measures", MEASURES, ids=lambda content: ascii(content[:12]))
def test_measures_that_are_none(toy: Any, measures: bytes) -> None:
    def lies(action: Action, folder: Path) -> None:
        (folder / "out/measures.json").write_bytes(measures)

    toy.work["//:net#mge+measured"] = lies
    row = toy.build("//:net@x86")["//:net@x86"]
    assert row.status == "failed" and "[MB149]" in row.reason, row
    assert not (toy.root / "out/net/x86/net.mge").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no such operator\na.b\twhy\n", "no such operator"),
        (b"", "refused, and did not say why"),
        (b"\n\n\n", "refused, and did not say why"),
        (b"\xff\xfe\x00x", "\N{REPLACEMENT CHARACTER}" * 3 + "x"),
        (b"\x1b[2Jx\ty", "\N{REPLACEMENT CHARACTER}[2Jx y"),
    ],
)
def test_a_refusal_of_any_bytes(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "refusal.txt").write_bytes(content)
    assert refusal(tmp_path / "refusal.txt")[0] == said


def test_a_refusal_that_is_no_file(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "refusal.txt"
    secret.write_text("secret")
    path.symlink_to(secret)
    assert refusal(path)[0] == "refused, and did not say why"
    path.unlink()
    os.mkfifo(path)
    assert refusal(path)[0] == "refused, and did not say why"
    path.unlink()
    path.touch()
    os.truncate(path, 1 << 40)
    assert refusal(path)[0]


def test_a_refusal_in_the_box(box: Boxes) -> None:
    failure = box.fails("import sys\nopen('out/refusal.txt', 'wb').write(b'\\xff\\x1b[2J\\n\\xff')\nsys.exit(3)")
    assert failure.refused and failure.message.isprintable()


@pytest.mark.parametrize(
    "operations",
    [b"", b"{}", b"[1]", b'[{"path": []}]', b'[{"path": "a", "file": 3, "line": 1}]', b"[" * 5000, b"\xff"],
)
def test_operations_of_any_bytes(tmp_path: Path, operations: bytes) -> None:
    failure = ActionFailed("//:m#x", "refused", troubles=(("a", "why"),))
    assert located(failure, operations, tmp_path, ()).troubles == failure.troubles


def test_operations_do_not_tell_of_other_files(tmp_path: Path) -> None:
    """A line of a file outside of the workspace is not looked up there."""
    (tmp_path / "ws").mkdir()
    (tmp_path / "x.py").write_text("# a comment\n\n\nx = 1\n")
    for file in ("../x.py", str(tmp_path / "x.py")):
        operations = json.dumps([{"path": "a", "file": file, "line": 1}]).encode()
        failure = located(ActionFailed("//:m#x", "no", troubles=(("a", "why"),)), operations, tmp_path / "ws", ())
        assert failure.troubles == (("a", f"{file}:1: why"),)


def test_a_log_of_any_frames_and_names(tmp_path: Path) -> None:
    """Numbers that Python refuses to read, and names that no file system takes."""
    long, error = "n" * 270, "FileNotFoundError: [Errno 2] No such file or directory"
    for number in ("9" * 5000, "0", "7"):
        (tmp_path / "log").write_text(f'  File "/work/in/source/net.py", line {number}, in build\n')
        assert len(log_tail(tmp_path / "log", tmp_path, tmp_path)) == 1
    for tail in ((f'  File "{long}", line 1', f"{error}: 'x'"), (f"{error}: '{long}'",), (f"{error}: '//{long}'",)):
        assert undeclared(tail, TRAINING, tmp_path, tmp_path / "staged") is None
