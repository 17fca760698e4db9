"""The reproducibility check: what differs is found and told in the terms of its format."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from megbuild.cli import check as command
from megbuild.cli.again import again
from megbuild.declare.load import load
from megbuild.graph.actions import Outputs
from megbuild.release import elsewhere, variations
from megbuild.release.difference import difference, diffoscope
from megbuild.release.reading import operators
from megbuild.release.reading.onnx import fields
from megbuild.release.score import Again, page, score
from megbuild.store.digests import Digest

ROOT = Path(__file__).parents[2]
ONNX = (ROOT / "examples/imported/network.onnx").read_bytes()
TM = (ROOT / "examples/monorepo/speech/keyword.tm").read_bytes()


@pytest.fixture
def checked(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The toy, whose actions run again in this process."""

    def here(
        root: Path,
        variation: variations.Variation,
        labels: Sequence[str],
        baseline: Mapping[str, Outputs],
        ids: Sequence[str],
    ) -> Mapping[str, Outputs | str]:
        return again(root, labels, baseline, ids, variation.inside, variation.jobs)

    monkeypatch.chdir(toy.root)
    monkeypatch.setattr(command, "run_again", here)
    return toy


def check(*labels: str, only: str = "", write: str = "") -> int:
    return command.Check().execute({"only": only, "write": write, "json": ""}, list(labels))


def test_what_is_the_same_scores_n_of_n(checked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("//...") == 0
    said = capsys.readouterr().out
    assert "environment: 9 actions again" in said
    assert f"{'npu':<28} environment 2 of 2, parallel 2 of 2, SIMD 2 of 2" in said
    assert "differs" not in said


def test_all_that_differs_is_told(checked: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check("//:net@onnx") == 0
    checked.salt = "other"
    assert check("//:net@onnx", only="environment", write=str(tmp_path / "page.md")) == 1
    said = capsys.readouterr().out
    assert "//:net#onnx: artifact/model.onnx differs" in said
    assert "//:net#tm: artifact/model.tm differs" in said  # not only the first
    assert "-$.told = " in said and "+$.told = " in said  # of io.json, by its path
    assert "bytes differ, the first at" in said
    assert "| onnx | 0 of 2 |" in (tmp_path / "page.md").read_text()


def test_a_failing_action_is_no_success(checked: Any, fails: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("//:net@onnx") == 0
    checked.work["//:net#onnx"] = fails
    assert check("//:net@onnx", only="SIMD") == 1
    said = capsys.readouterr().out
    assert "//:net#onnx failed: //:net#onnx: it broke" in said and "SIMD 0 of 2" in said


def test_the_switches_reach_the_actions_and_nothing_is_recorded(
    checked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, str] = {}

    def looks(action: Any, folder: Path) -> None:
        seen.update(action.environment)
        checked.usual(action, folder)

    assert check("//:net@onnx") == 0
    checked.work["//:net#onnx"] = looks
    assert check("//:net@onnx", only="SIMD") == 0
    assert seen["ONEDNN_MAX_CPU_ISA"] == "SSE41"
    assert not checked.report("//:net@onnx").failed and checked.ran == []


def test_an_unknown_variation(checked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(only="none") == 2
    assert "no variation none [MB401]\n  hint: environment, parallel, SIMD" in capsys.readouterr().err


def test_a_new_process_is_as_varied(tmp_path: Path) -> None:
    told = """
import json, os, resource, sys, time
mask = os.umask(0)
open(sys.argv[1], "w").close()
print(json.dumps([mask, len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_STACK)[0], os.getuid(), os.getgid(),
    os.stat(sys.argv[1]).st_uid, time.time(), time.monotonic()]))
"""
    library = elsewhere.clock()
    assert library and variations.ENVIRONMENT.lacking() == ()
    done = subprocess.run(
        [sys.executable, "-I", "-c", told, str(tmp_path / "x")],
        env={**variations.ENVIRONMENT.outside, **elsewhere.preloaded(library, 400)},
        preexec_fn=variations.settle(variations.ENVIRONMENT),
        capture_output=True,
        text=True,
        check=True,
    )
    mask, cores, stack, user, group, owner, now, monotonic = json.loads(done.stdout)
    assert (mask, cores) == (0o077, 1) and stack <= 64 << 20
    assert user == group == owner == 31337 and user != os.getuid()
    assert abs(now - time.time() - 400 * 86400) < 100
    assert abs(monotonic - time.monotonic()) < 100
    assert (tmp_path / "x").stat().st_uid == os.getuid()  # to everybody else it is the user's


def test_in_memory_folders_list_in_another_order(tmp_path: Path) -> None:
    place = elsewhere.memory(0)
    assert place
    names = [f"{number:02}" for number in range(12)]
    with tempfile.TemporaryDirectory(dir=place) as folder:
        for name in names:
            Path(folder, name).write_text("")
        listed = [path.name for path in Path(folder).iterdir()]
        assert listed != names and sorted(listed) == names
    assert elsewhere.memory(1 << 60) is None


def test_what_is_not_installed_is_not_varied_and_said(
    checked: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("clock", "emulator"):
        monkeypatch.setattr(elsewhere, name, lambda: None)
    monkeypatch.setattr(elsewhere, "can_be_another", lambda: False)
    monkeypatch.setattr(elsewhere, "memory", lambda needed: None)
    assert check("//:net@onnx") == 0
    said = capsys.readouterr().out
    assert "Haswell and EPYC: not run, for want of qemu-x86_64" in said and "Haswell: " not in said
    assert "  not varied: the clock, for want of libfaketime" in said
    assert "  not varied: the user's number, for want of user namespaces" in said
    assert "  not varied: the order of files in the listings of folders" in said


def test_emulated_processors_run_all_but_training(
    checked: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "emulator", lambda: Path("/usr/bin/qemu-x86_64-static"))
    assert variations.HASWELL.through() == ("/usr/bin/qemu-x86_64-static", "-cpu", "Haswell")
    assert check("//:net@onnx", only="Haswell") == 0
    said = capsys.readouterr().out
    assert "Haswell: 4 actions again" in said and "weights" not in said.split("again")[1]


def test_diffoscope_is_asked_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert diffoscope("a.json", b"1", b"2") == []
    program = tmp_path / "diffoscope"
    program.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$1 $2 $last"\nwhile read -r line; do echo "$line"; done < "$last"\n'
    )
    program.chmod(0o755)
    said = diffoscope("folder/a.json", b"1\n", b"2\n")
    assert said == ["--text-color=never --max-report-size=16384 /now/a.json", "2"]


def test_a_copy_leaves_out_what_builds_made(tmp_path: Path) -> None:
    for path in ("a/b.py", "out/x", ".megbuild/state", "a/out/y", "env/pyvenv.cfg", "a/__pycache__/z", "rules/r.py"):
        (tmp_path / "ws" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "ws" / path).write_text("")
    to = variations.copy(tmp_path / "ws", tmp_path / "copy", tmp_path / "ws" / "rules")
    assert sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()) == ["a/b.py", "a/out/y"]


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) >= 1
    return content.replace(old, new, 1)


def test_differences_of_onnx_name_the_node_and_the_initialiser() -> None:
    assert difference("a.onnx", ONNX, ONNX) == []
    told = difference("a.onnx", ONNX, changed(ONNX, b"Relu", b"Tanh"))
    assert len(told) == 2 and told[0].startswith("-node Relu") and told[1].startswith("+node Tanh")
    (graph,) = (value for number, value in fields(ONNX) if number == 7 and isinstance(value, bytes))
    tensor = next(value for number, value in fields(graph) if number == 5 and isinstance(value, bytes))
    name, raw = (next(value for n, value in fields(tensor) if n == number) for number in (8, 9))
    assert isinstance(name, bytes) and isinstance(raw, bytes)
    told = difference("a.onnx", ONNX, changed(ONNX, raw, bytes([raw[0] ^ 1]) + raw[1:]))
    assert [line[:12] for line in told] == ["-initializer", "+initializer"] and name.decode() in told[0]


def test_differences_of_other_formats() -> None:
    assert difference("a.json", b'{"a": {"b": [1, 2]}}', b'{"a": {"b": [1, 3]}}') == ["-$.a.b[1] = 2", "+$.a.b[1] = 3"]
    assert difference("a.json", b'{"a":1}', b'{"a": 1}')[0] == "what its .json says is the same; the bytes differ"
    assert difference("a.prototxt", b"x\ny: 1\n", b"x\ny: 2\n") == ["-y: 1", "+y: 2"]
    one, two = (numpy.lib.format.magic(1, 0) + b"\x02\x00{}" + values for values in (b"1", b"2"))
    assert [line[:8] for line in difference("a.npy", one, two)] == ["-values ", "+values "]
    told = difference("a.tm", TM, changed(TM, b"Linear", b"Lineal"))
    assert len(told) >= 2 and "Linear" in told[0] and "Lineal" in told[1]
    assert difference("a.bin", b"abcd", b"abXd!")[:2] == [
        "4 bytes -> 5 bytes",
        "1 of 4 bytes differ, the first at 0x2, the last at 0x2",
    ]
    assert difference("a.onnx", b"\xff\xff", b"\xff\xfe")[0].startswith("1 of 2 bytes differ")
    many = difference("a.txt", b"", "\n".join(map(str, range(50))).encode())
    assert len(many) == 13 and many[-1] == "... and 38 lines more"


def test_operators() -> None:
    found = operators("a.onnx", ONNX)
    assert found and found["Conv"] >= 1
    found = operators("a.tm", TM)
    assert found and any(name.startswith("megengine.") for name in found)
    assert operators("a.prototxt", b'layer {\n  type: "ReLU"\n}\nlayer {\n  type: "ReLU"\n}\n') == {"ReLU": 2}
    assert operators("a.rknn", b"x") is None and operators("a.onnx", b"\xff\xff\xff") is None


def test_a_hostile_tm_is_read_without_running_it(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    assert operators("a.tm", pickle.dumps(Evil())) == {}
    assert not (tmp_path / "ran").exists()


def test_scores_and_their_page() -> None:
    a, b = Digest("a" * 64, 1), Digest("b" * 64, 1)
    found = [Again("1", "onnx", {"x": a, "y": a}, {"x": a, "y": b}), Again("2", "mge", {"x": a}, failure="broke")]
    table = score({"environment": found})
    assert table == {"mge": {"environment": (0, 1)}, "onnx": {"environment": (1, 2)}}
    assert "| onnx | 1 of 2 |" in page(table, [variations.ENVIRONMENT], "doit check", "a processor")


def test_the_page_in_docs_covers_every_rule_and_is_n_of_n() -> None:
    """After a change here: ``benchmarks/reproducibility --write docs/reproducibility.md``."""
    text = (ROOT / "docs/reproducibility.md").read_text()
    for variation in variations.ALL:
        assert f"**{variation.name}**" in text
        for what in variation.what:
            assert f"- {what}\n" in text
    rows = {
        cells[0]: cells[1:]
        for cells in (line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| "))
    }
    for rule in load(ROOT).rules:
        assert rule.name in rows, f"{rule.name} has neither a row nor a reason"
    scores = {rule: cells for rule, cells in rows.items() if re.match(r"\d+ of \d+$", cells[0])}
    assert len(scores) >= 12
    for rule, cells in scores.items():
        # onnxruntime has other kernels for AVX-512, and XNNPACK others for AMD: they take no switch
        elsewhere_too = rule not in ("expected, onnx", "measured, onnx", "expected, tflite", "measured, tflite")
        # the same of oneDNN limited to SSE4.1, below what is promised: the page says so
        promised = (
            cells[:2] + cells[3:] if rule in ("measured, openvino", "tpu_mlir/bmodel", "tpu_mlir/cvimodel") else cells
        )
        for cell in filter(None, promised if elsewhere_too else cells[:3]):
            same, _, of = cell.partition(" of ")
            assert same == of, (rule, cells)


def test_what_the_store_lost_is_made_again_first(checked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked.build("//:net@onnx")
    checked.lose(checked.outputs("//:net#tm"))
    assert check("//:net@onnx", only="parallel") == 0
    assert "trace/tm                     parallel 2 of 2" in capsys.readouterr().out
