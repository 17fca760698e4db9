"""Builds: what runs, what is kept, and what happens when the disk and the tools do not play along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from megbuild import pipeline
from megbuild.errors import MegbuildError
from megbuild.execute.builder import Builder
from megbuild.execute.failure import ActionFailed
from megbuild.execute.staging import Moved
from megbuild.graph.actions import Action
from megbuild.graph.stale import Verb
from megbuild.pipeline.execution import Execution

ALL = [
    "//:net#weights", "//:net#tm", "//:net#mge", "//:net#expected", "//:net#mge+measured", "//:net#onnx",
    "//:net#onnx+measured", "//:net#npu-b", "//:net#npu-b+measured",
]  # fmt: skip
LABELS = ["//:net@x86", "//:net@onnx", "//:net@chip"]


def builder(toy: Any, prepared: pipeline.Prepared) -> Builder:
    return next(Execution(prepared, toy.listen()).work()).builder


def test_the_first_build_runs_everything_once(toy: Any) -> None:
    rows = toy.build()
    assert sorted(toy.ran) == sorted(ALL)
    assert [(row.label, row.status, row.verdict) for row in rows.values()] == [(x, "built", "pass") for x in LABELS]
    assert (toy.root / "out/net/chip/net.npu").is_file()


def test_the_second_runs_nothing(toy: Any) -> None:
    toy.build()
    rows = toy.build()
    assert toy.ran == []
    assert {row.status for row in rows.values()} == {"up to date"}


def test_several_jobs_give_the_same(toy: Any, gate: Any) -> None:
    held = gate(2)
    toy.work["//:net#mge"] = toy.work["//:net#onnx"] = held.held(toy.usual)  # only if both run at once
    rows = toy.build(jobs=2)
    assert sorted(toy.ran) == sorted(ALL)
    assert {row.status for row in rows.values()} == {"built"}


def test_two_threads_that_want_one_result_make_it_once(toy: Any) -> None:
    import threading

    prepared = toy.prepare()
    made = builder(toy, prepared)
    threads = [threading.Thread(target=made.ensure, args=(label,)) for label in LABELS * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(toy.ran) == sorted(ALL)


def test_an_equal_result_ends_the_rebuild(toy: Any) -> None:
    """Early cut-off: the training code changes, the weights come out the same."""
    toy.work["//:net#weights"] = lambda action, folder: (folder / "out/artifact/model.weights").write_text("same")
    toy.build()
    toy.write({"train.py": "def train(path): print(path)\n"})
    rows = toy.build()
    assert toy.ran == ["//:net#weights"]
    assert toy.reasons("//:net#weights") == "train.py changed"
    assert {row.status for row in rows.values()} == {"up to date"}


def test_comments_run_nothing(toy: Any) -> None:
    toy.build()
    toy.write({"net.py": "# hello\ndef build(weights):\n    return (1)\n"})
    toy.build()
    assert toy.ran == []


def test_a_changed_threshold_only_judges(toy: Any) -> None:
    toy.build()
    text = (toy.root / "MODELS.toml").read_text()
    toy.write(
        {
            "MODELS.toml": text.replace(
                "[models.net.outputs.onnx]", "[models.net.outputs.onnx]\nverify = { cosine = 0.5 }"
            )
        }
    )
    rows = toy.build()
    assert toy.ran == []
    assert [done.action.id for done in toy.heard.done if done.verb is Verb.RUN] == ["//:net@onnx"]
    assert toy.reasons("//:net@onnx") == "verify.cosine unset -> 0.5"
    assert rows["//:net@onnx"].status == "up to date"


def test_a_stricter_threshold_fails_and_leaves_what_was_published(toy: Any) -> None:
    toy.measured["//:net#onnx+measured"] = toy.bad(cosine=0.99995)
    toy.build()
    artifact = toy.root / "out/net/onnx/net.onnx"
    before, told = artifact.read_bytes(), (artifact.parent / "record.json").read_bytes()
    text = (toy.root / "MODELS.toml").read_text()
    strict = text.replace("[models.net.outputs.onnx]", "[models.net.outputs.onnx]\nverify = { cosine = 0.99999 }")
    toy.write({"MODELS.toml": strict, "net.py": "def build(weights): return 2\n"})
    for _ in range(2):  # and it fails again, without anything being run
        report = toy.report(keep_going=True)
        (row,) = (row for row in report.rows if row.label == "//:net@onnx")
        assert row.status == "refused"
        assert row.reason == "cosine of prob is 0.99995 on sample 0, asked at least 0.99999"
        assert [failure.action for failure in report.failed] == ["//:net@onnx"]
        assert artifact.read_bytes() == before
        assert (artifact.parent / "record.json").read_bytes() == told
    assert toy.ran == []
    toy.write({"MODELS.toml": text})
    assert toy.build()["//:net@onnx"].status != "refused"
    assert artifact.read_bytes() != before


def test_a_first_verdict_that_fails_publishes_nothing(toy: Any) -> None:
    toy.measured["//:net#onnx+measured"] = toy.bad(cosine=0.5)
    for _ in range(2):
        rows = toy.build("//:net@onnx")
        assert rows["//:net@onnx"].status == "refused"
        assert not (toy.root / "out/net/onnx").exists()


@pytest.mark.parametrize("change", ["edited", "deleted", "link"])
def test_a_published_file_is_put_back(toy: Any, change: str) -> None:
    toy.build()
    artifact = toy.root / "out/net/onnx/net.onnx"
    before = artifact.read_bytes()
    if change == "edited":
        artifact.write_bytes(before[::-1])
    else:
        artifact.unlink()
    if change == "link":
        artifact.symlink_to(toy.root / "net.py")
    rows = toy.build()
    assert toy.ran == []
    assert rows["//:net@onnx"].status == "restored"
    word = "was deleted" if change == "deleted" else "was edited by hand"
    assert toy.reasons("//:net@onnx") == f"out/net/onnx/net.onnx {word}"
    assert artifact.read_bytes() == before
    assert not artifact.is_symlink()
    assert rows["//:net@x86"].status == "up to date"


def test_a_folder_in_the_place_of_a_published_file_is_one_clear_failure(toy: Any) -> None:
    toy.build()
    artifact = toy.root / "out/net/onnx/net.onnx"
    artifact.unlink()
    artifact.mkdir()
    rows = toy.build(keep_going=True, jobs=2)
    assert rows["//:net@onnx"].status == "failed"
    assert "cannot write" in rows["//:net@onnx"].reason


def test_files_that_an_output_no_longer_has_are_removed(toy: Any, tmp_path: Path) -> None:
    toy.build("//:net@x86")
    rule = tmp_path / "builtin/mge/rule.py"
    rule.write_text(rule.read_text().replace('files=(".mge",)', 'files=(".lite",)'))
    toy.build("//:net@x86")
    assert sorted(path.name for path in (toy.root / "out/net/x86").iterdir()) == ["net.lite", "record.json"]
    assert toy.build("//:net@x86")["//:net@x86"].status == "up to date"
    assert toy.ran == []


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_store_that_lost_everything_but_what_stands_is_still_up_to_date(toy: Any, jobs: int) -> None:
    import shutil

    toy.build()
    shutil.rmtree(toy.cache / "store")
    assert {row.status for row in toy.build(jobs=jobs).values()} == {"up to date"}
    assert toy.ran == []
    toy.write({"net.py": "def build(weights): return 2\n"})
    rows = toy.build(jobs=jobs)
    assert {row.status for row in rows.values()} == {"built"}
    assert toy.reasons("//:net#weights").startswith("its result is no longer in the store")
    assert sorted(toy.ran) == sorted(ALL)


def test_a_lost_input_is_made_again(toy: Any) -> None:
    toy.build()
    toy.lose({name: d for name, d in toy.outputs("//:net#onnx").items() if name.startswith("artifact")})
    (toy.root / "out/net/onnx/net.onnx").unlink()
    rows = toy.build()
    assert toy.ran == ["//:net#onnx"]
    assert rows["//:net@onnx"].status in ("built", "restored")


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_was_made_from_a_lost_input_follows_when_other_bytes_come_back(toy: Any, jobs: int) -> None:
    """A verdict must never stand beside bytes that were not measured."""
    toy.build()
    toy.lose({name: d for name, d in toy.outputs("//:net#onnx").items() if name.startswith("artifact")})
    (toy.root / "out/net/onnx/net.onnx").unlink()
    toy.salt = "another day"
    toy.build(jobs=jobs)
    assert sorted(toy.ran) == ["//:net#onnx", "//:net#onnx+measured"]
    toy.build()  # the chip's road rests on the new bytes
    assert sorted(toy.ran) == ["//:net#npu-b", "//:net#npu-b+measured"]
    assert {row.status for row in toy.build().values()} == {"up to date"}
    assert toy.ran == []


@pytest.mark.parametrize("id", ["//:net@caffe", "//:net#caffe"])
def test_damaged_contents_are_noticed_one_by_one_and_made_again(toy: Any, id: str) -> None:
    toy.write({"MODELS.toml": (toy.root / "MODELS.toml").read_text() + "[models.net.outputs.caffe]\n"})
    toy.build()
    for digest in toy.outputs(id).values():
        toy.damage(digest)
    (toy.root / "out/net/caffe/net.prototxt").unlink()
    (toy.root / "out/net/caffe/net.caffemodel").unlink()
    rows = toy.build()
    assert toy.ran == (["//:net#caffe"] * len(toy.ran) if id.endswith("#caffe") else [])
    assert rows["//:net@caffe"].status in ("built", "restored")
    assert (toy.root / "out/net/caffe/net.caffemodel").is_file()


def test_a_store_that_keeps_losing_gives_up(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from megbuild.store.content import ContentStore, Missing

    def lost(self: ContentStore, *arguments: Any, **rest: Any) -> None:
        raise Missing("gone")

    monkeypatch.setattr(ContentStore, "materialise", lost)
    report = toy.report("//:net@onnx")
    assert "the store loses what is put into it" in report.failed[0].message


def test_a_file_that_changes_while_the_build_runs(toy: Any) -> None:
    def meddle(action: Action, folder: Path) -> None:
        toy.usual(action, folder)
        (toy.root / "samples/0.npy").write_text("one!")

    toy.work["//:net#tm"] = meddle
    report = toy.report()
    assert "samples/0.npy changed while the build ran; build again" in report.failed[0].message
    assert report.moved == ("samples/0.npy",)
    toy.work.clear()
    assert {row.status for row in toy.build().values()} <= {"built", "restored"}  # its .mge had been made already


def test_one_key_in_two_models(toy: Any) -> None:
    """Two models with the same code and declaration have the same keys; each still gets its own artifact."""
    text = (toy.root / "MODELS.toml").read_text()
    twin = text.replace("workspace = true\n", "").replace("models.net", "models.twin")
    toy.write({"MODELS.toml": text + twin})
    rows = toy.build(jobs=3)
    assert {row.status for row in rows.values()} <= {"built", "restored"}
    assert (toy.root / "out/twin/onnx/twin.onnx").read_bytes() == (toy.root / "out/net/onnx/net.onnx").read_bytes()
    assert json.loads((toy.root / "out/twin/onnx/record.json").read_text())["label"] == "//:twin@onnx"
    assert {row.status for row in toy.build().values()} == {"up to date"}


def test_another_workspace_takes_it_from_the_store(toy: Any, tmp_path: Path) -> None:
    import shutil

    toy.build()
    shutil.copytree(toy.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".megbuild", "out"))
    toy.root = tmp_path / "clone"
    rows = toy.build()
    assert toy.ran == []
    assert {row.status for row in rows.values()} == {"restored"}


def test_failures_and_what_they_stop(toy: Any, fails: Any, refuses: Any) -> None:
    toy.work["//:net#onnx"] = fails
    rows = toy.build(keep_going=True)
    assert rows["//:net@x86"].status == "built"
    assert (rows["//:net@onnx"].status, rows["//:net@onnx"].reason) == ("failed", "//:net#onnx: it broke")
    assert rows["//:net@chip"].status == "failed"
    toy.work["//:net#onnx"] = refuses
    rows = toy.build(keep_going=True)
    assert rows["//:net@x86"].status == "up to date"
    assert (rows["//:net@chip"].status, rows["//:net@chip"].reason) == ("refused", "//:net#onnx: no such operator")


@pytest.mark.parametrize("jobs", [1, 2])
def test_without_keep_going_the_rest_is_not_reached(toy: Any, fails: Any, jobs: int) -> None:
    toy.work["//:net#tm"] = fails
    assert {row.status for row in toy.build(jobs=jobs).values()} == {"failed"}
    toy.work.clear()
    toy.work["//:net#mge"] = fails
    rows = toy.build(jobs=1)
    assert rows["//:net@x86"].status == "failed"
    assert rows["//:net@chip"].status == "not reached"


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    "error", [MegbuildError(()), Moved("x.py"), ValueError("two\nlines"), UnicodeDecodeError("utf-8", b"", 0, 1, "bad")]
)
def test_whatever_breaks_in_a_runner_ends_the_build_and_what_runs(toy: Any, jobs: int, error: Exception) -> None:
    def breaks(action: Action, folder: Path) -> None:
        raise error

    toy.work["//:net#tm"] = breaks
    if isinstance(error, (MegbuildError, Moved)):
        assert toy.report(jobs=jobs).failed[0].action == "//:net#tm"
    else:
        with pytest.raises(Exception):  # noqa: B017 - of whatever kind: it is a bug of ours
            toy.report(jobs=jobs)
        assert toy.stopped
    toy.work.clear()
    assert {row.status for row in toy.build().values()} == {"built"}


def test_a_delivered_file_must_be_what_was_pinned_and_hashed(toy: Any) -> None:
    import hashlib

    good, bad = b"network", b"another"
    toy.write({"given.tm": good.decode(), "MODELS.toml": f"""
        workspace = true
        [models.given]
        archive = {{ path = "given.tm", sha256 = "{hashlib.sha256(good).hexdigest()}" }}
        inputs = [{{ name = "data", shape = [1, 3] }}]
        results = [{{ name = "prob", shape = [1, 10] }}]
        [models.given.outputs.onnx]
    """})  # fmt: skip
    assert toy.build()["//:given@onnx"].status == "built"
    (toy.root / "given.tm").write_bytes(bad)
    row = toy.build()["//:given@onnx"]
    assert row.status == "failed"
    assert "pinned is" in row.reason
    (toy.root / "given.tm").write_bytes(good)
    assert toy.build()["//:given@onnx"].status == "up to date"
    text = (toy.root / "MODELS.toml").read_text()
    toy.write({"MODELS.toml": text.replace(hashlib.sha256(good).hexdigest(), hashlib.sha256(bad).hexdigest())})
    assert toy.build()["//:given@onnx"].status == "failed"


def test_a_failed_action_is_told_by_its_own_name() -> None:
    assert str(ActionFailed("//:a#tm", "broke", log="x.log", by_hand="sh run.sh", tail=("one", "two"))) == (
        "//:a#tm: broke\n  | one\n  | two\n  log: x.log\n  by hand: sh run.sh"
    )
