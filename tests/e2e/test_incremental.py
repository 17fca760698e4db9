"""What is made again after a change, and what is said about it: the scenarios that the design promises."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy

from .conftest import Seed
from .workspace import PAUSE, Workspace

TRAIN = "def train(weights):\n"
SORTER = {"#tm", "#expected", "#mge", "#mge+measured", "#onnx-opset11", "#onnx-opset11+measured"}
"""The actions of a model with two outputs."""
ALL = (
    {f"//vision:sorter{step}" for step in SORTER}
    | {f"//vision/detector:parts{step}" for step in SORTER}
    | {f"//speech:voice{step}" for step in ("#weights", "#tm", "#expected", "#mge", "#mge+measured")}
    | {f"//speech:keyword{step}" for step in ("#expected", "#onnx-opset11", "#onnx-opset11+measured")}
)
LABELS = {
    "//speech:keyword@gateway",
    "//speech:voice@kiosk",
    "//vision:sorter@kiosk",
    "//vision:sorter@gateway",
    "//vision/detector:parts@kiosk",
    "//vision/detector:parts@gateway",
}


def test_the_first_build_runs_every_action_once(monorepo_seed: Seed) -> None:
    assert monorepo_seed.first.ran == dict.fromkeys(ALL, "never built")
    assert monorepo_seed.first.judged == dict.fromkeys({*LABELS, "//speech:keyword#tm"}, "never built")
    assert not monorepo_seed.first.restored


def test_nothing_changed(monorepo: Workspace) -> None:
    """In another folder too: the path of the workspace enters nothing."""
    outcome = monorepo.build()
    assert (outcome.ran, outcome.judged, outcome.restored) == ({}, {}, {})
    assert outcome.statuses == dict.fromkeys(LABELS, "up to date")
    again = monorepo.build(summary=False)
    assert again.lines == ("everything is up to date: 6 outputs, nothing to run",)


def test_nothing_changed_is_found_without_loading_anything(monorepo: Workspace) -> None:
    monorepo.build()
    imported = "import sys; from megbuild.cli.__main__ import main; sys.argv = ['doit', 'build']; status = main(); print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", imported], cwd=monorepo.root, capture_output=True, text=True, check=True
    )
    said, *modules = done.stdout.splitlines()
    assert said == "everything is up to date: 6 outputs, nothing to run"
    assert not {
        "doit",
        "tomli",
        "msgspec",
        "rich",
        "megbuild.pipeline",
        "megbuild.declare",
        "megbuild.graph",
    }.intersection(modules)


def test_everything_touched(monorepo: Workspace) -> None:
    for path in monorepo.root.rglob("*"):
        if ".megbuild" not in path.parts:
            os.utime(path)
    outcome = monorepo.build(summary=False)
    assert (outcome.ran, outcome.judged, outcome.restored) == ({}, {}, {})
    assert "6 outputs: 6 up to date" in outcome.lines[-1]
    assert monorepo.build(summary=False).lines == ("everything is up to date: 6 outputs, nothing to run",)


def test_all_times_reset_to_one_moment(monorepo: Workspace) -> None:
    """As a fresh checkout or an unpacked archive has them."""
    for path in monorepo.root.rglob("*"):
        if ".megbuild" not in path.parts:
            os.utime(path, (1_600_000_000, 1_600_000_000))
    outcome = monorepo.build()
    assert (outcome.ran, outcome.judged, outcome.restored) == ({}, {}, {})


def test_a_comment_and_formatting_in_training_code(monorepo: Workspace) -> None:
    monorepo.edit(
        "speech/voice.py", "    for _ in range(20):\n", "    # Twenty are enough.\n\n    for   _   in range( 20 ):\n"
    )
    outcome = monorepo.build()
    assert (outcome.ran, outcome.judged, outcome.restored) == ({}, {}, {})
    told = monorepo.doit("why", "//speech:voice@kiosk")
    assert told.status == 0
    for step in ("#weights", "#tm"):
        at = told.lines.index(f"  //speech:voice{step}: up to date; last time: up to date")
        assert told.lines[at + 1] == "      speech/voice.py changed (comments or formatting only)"


def test_the_structure_of_a_network(monorepo: Workspace) -> None:
    monorepo.edit(
        "vision/sorter.py", "*convolution(8, 8, stride=2)", "*convolution(8, 8), *convolution(8, 8, stride=2)"
    )
    outcome = monorepo.build()
    sorter = "//vision:sorter"
    assert outcome.status == 0, outcome.text
    assert outcome.ran == {
        f"{sorter}#tm": "vision/sorter.py changed",
        f"{sorter}#expected": f"{sorter}#tm changed",
        f"{sorter}#mge": f"{sorter}#tm changed",
        f"{sorter}#onnx-opset11": f"{sorter}#tm changed",
        f"{sorter}#mge+measured": f"{sorter}#expected changed; {sorter}#mge changed",
        f"{sorter}#onnx-opset11+measured": f"{sorter}#expected changed; {sorter}#onnx-opset11 changed",
    }
    assert outcome.judged.keys() == {f"{sorter}@kiosk", f"{sorter}@gateway"}
    assert outcome.statuses == {label: "built" if label.startswith(sorter) else "up to date" for label in LABELS}


def test_training_code_that_comes_to_the_same(monorepo: Workspace) -> None:
    """A real change whose results are equal stops there: nothing is converted."""
    monorepo.edit("speech/voice.py", "for _ in range(20):", "for _ in range(10 + 10):")
    outcome = monorepo.build()
    assert outcome.ran == {f"//speech:voice{step}": "speech/voice.py changed" for step in ("#weights", "#tm")}
    assert (outcome.judged, outcome.restored) == ({}, {})
    told = monorepo.doit("why", "//speech:voice@kiosk")
    at = told.lines.index("  //speech:voice#mge: up to date; last time: up to date")
    assert told.lines[at + 1] == "      its inputs came out as they were"


def test_a_data_file_of_the_training(monorepo: Workspace) -> None:
    monorepo.edit(
        "speech/voice.csv", "low,middle,upper,high,speaking\n", "low,middle,upper,high,speaking\n0.1,0.9,0.9,0.1,1\n"
    )
    outcome = monorepo.build()
    assert outcome.ran == {
        "//speech:voice#weights": "speech/voice.csv changed",
        "//speech:voice#tm": "speech/voice.csv changed; //speech:voice#weights changed",
        "//speech:voice#expected": "//speech:voice#tm changed",
        "//speech:voice#mge": "//speech:voice#tm changed",
        "//speech:voice#mge+measured": "//speech:voice#expected changed; //speech:voice#mge changed",
    }


def test_a_threshold_judges_and_runs_nothing(monorepo: Workspace) -> None:
    monorepo.edit("vision/detector/MODELS.toml", "verify = { cosine = 0.999 }", "verify = { cosine = 0.99 }")
    outcome = monorepo.build()
    assert (outcome.ran, outcome.restored) == ({}, {})
    reason = "verify.cosine 0.999 -> 0.99"
    assert outcome.judged == {"//vision/detector:parts@kiosk": reason, "//vision/detector:parts@gateway": reason}
    assert outcome.statuses == dict.fromkeys(LABELS, "up to date")


def test_an_option_of_one_output_makes_only_its_road(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    monorepo.edit(
        "vision/MODELS.toml", "[models.sorter.outputs.gateway]", "[models.sorter.outputs.gateway]\nopset = 12"
    )
    outcome = monorepo.build()
    assert outcome.status == 0, outcome.text
    assert outcome.ran.keys() == {"//vision:sorter#onnx", "//vision:sorter#onnx+measured"}
    assert outcome.ran["//vision:sorter#onnx"] == "opset 11 -> 12"
    assert outcome.ran["//vision:sorter#onnx+measured"].startswith("opset 11 -> 12")
    assert outcome.judged.keys() == {"//vision:sorter@gateway"}
    changed = {path for path, content in monorepo.artifacts().items() if before[path] != content}
    assert changed == {"out/vision/sorter/gateway/sorter.onnx", "out/vision/sorter/gateway/record.json"}


def test_an_option_of_a_hardware_makes_the_outputs_that_share_it(monorepo: Workspace) -> None:
    monorepo.edit("HARDWARE.toml", "opset = 11", "opset = 12")
    outcome = monorepo.build()
    assert outcome.status == 0, outcome.text
    models = ("//vision:sorter", "//vision/detector:parts", "//speech:keyword")
    assert outcome.ran.keys() == {f"{model}#onnx{step}" for model in models for step in ("", "+measured")}
    assert outcome.judged.keys() == {f"{model}@gateway" for model in models}


def test_shared_code_makes_exactly_the_models_stale_that_import_it(monorepo: Workspace) -> None:
    monorepo.edit("shared/blocks.py", "SPREAD = 1.5", "SPREAD = 1.25")
    outcome = monorepo.build()
    assert outcome.status == 0, outcome.text
    assert outcome.ran.keys() == {
        f"{model}{step}" for model in ("//vision:sorter", "//vision/detector:parts") for step in SORTER
    }
    for model in ("//vision:sorter", "//vision/detector:parts"):
        assert outcome.ran[f"{model}#tm"] == "shared/blocks.py changed"
    assert outcome.statuses == {label: "up to date" if label.startswith("//speech") else "built" for label in LABELS}


def test_building_a_subtree_touches_nothing_else(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    monorepo.edit("shared/blocks.py", "SPREAD = 1.5", "SPREAD = 1.25")
    monorepo.edit("speech/voice.py", "range(20)", "range(21)")
    outcome = monorepo.build("//vision/...")
    assert outcome.status == 0, outcome.text
    assert outcome.ran.keys() == {
        f"{model}{step}" for model in ("//vision:sorter", "//vision/detector:parts") for step in SORTER
    }
    assert outcome.rows.keys() == {label for label in LABELS if label.startswith("//vision")}
    assert all(
        before[path] == content for path, content in monorepo.artifacts().items() if path.startswith("out/speech/")
    )
    rest = monorepo.build()
    assert {action.partition("#")[0] for action in rest.ran} == {"//speech:voice"}


def test_relative_labels_are_those_of_the_folder(monorepo: Workspace) -> None:
    monorepo.edit("shared/blocks.py", "SPREAD = 1.5", "SPREAD = 1.25")
    outcome = monorepo.doit("build", ":parts@kiosk", folder="vision/detector")
    parts = "//vision/detector:parts"
    assert outcome.ran.keys() == {f"{parts}#tm", f"{parts}#expected", f"{parts}#mge", f"{parts}#mge+measured"}
    assert outcome.judged.keys() == {f"{parts}@kiosk"}


def test_a_sample_is_added(monorepo: Workspace) -> None:
    """Only what runs on samples runs again."""
    numpy.save(monorepo.root / "vision/samples/3.npy", numpy.full((1, 3, 16, 16), 0.5, "float32"))
    outcome = monorepo.build()
    assert outcome.status == 0, outcome.text
    steps = ("#expected", "#mge+measured", "#onnx-opset11+measured")
    assert outcome.ran.keys() == {
        f"{model}{step}" for model in ("//vision:sorter", "//vision/detector:parts") for step in steps
    }
    for action, reason in outcome.ran.items():
        assert reason.startswith("vision/samples/3.npy added"), action
    assert outcome.rows["//vision:sorter@kiosk"]["samples"] == 4
    assert outcome.statuses == dict.fromkeys(LABELS, "up to date")  # the artifacts are those that stood there


def test_an_artifact_edited_by_hand_is_restored(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    artifact = "out/speech/voice/kiosk/voice.mge"
    (monorepo.root / artifact).write_bytes(b"changed")
    outcome = monorepo.build()
    assert (outcome.ran, outcome.judged) == ({}, {})
    assert outcome.restored == {"//speech:voice@kiosk": f"{artifact} was edited by hand"}
    assert outcome.rows["//speech:voice@kiosk"]["status"] == "restored"
    assert outcome.rows["//speech:voice@kiosk"]["reason"] == f"{artifact} was edited by hand"
    assert monorepo.artifacts() == before


def test_deleted_artifacts_are_restored(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    shutil.rmtree(monorepo.root / "out" / "vision")
    outcome = monorepo.build()
    assert (outcome.ran, outcome.judged) == ({}, {})
    assert outcome.restored.keys() == {label for label in LABELS if label.startswith("//vision")}
    kiosk = "out/vision/sorter/kiosk"
    assert (
        outcome.restored["//vision:sorter@kiosk"] == f"{kiosk}/record.json was deleted; {kiosk}/sorter.mge was deleted"
    )
    assert monorepo.artifacts() == before


def test_all_that_megbuild_knows_is_deleted(monorepo: Workspace) -> None:
    """A new clone of a workspace that this user has built before."""
    before = monorepo.artifacts()
    shutil.rmtree(monorepo.root / ".megbuild")
    shutil.rmtree(monorepo.root / "out")
    outcome = monorepo.build()
    assert (outcome.ran, outcome.judged) == ({}, {})
    assert outcome.statuses == dict.fromkeys(LABELS, "restored")
    assert monorepo.artifacts() == before


def test_the_store_is_lost(small: Workspace) -> None:
    """What stands is left alone; what must be made again makes its inputs again."""
    small.forget_store()
    kept = small.build()
    assert (kept.ran, kept.restored, kept.statuses) == ({}, {}, {"//:scale@x86": "up to date"})
    (small.root / "out/scale/x86/scale.mge").unlink()
    outcome = small.build()
    assert outcome.status == 0, outcome.text
    assert (small.root / "out/scale/x86/scale.mge").is_file()


def test_checking_out_an_older_revision_restores(monorepo: Workspace) -> None:
    (monorepo.root / ".gitignore").write_text("/out/\n/.megbuild/\n")
    monorepo.git("init", "--quiet")
    monorepo.git("add", ".")
    monorepo.git("commit", "--quiet", "--message", "first")
    older = monorepo.artifacts()
    monorepo.edit("shared/blocks.py", "SPREAD = 1.5", "SPREAD = 1.25")
    assert monorepo.build().ran
    newer = monorepo.artifacts()
    monorepo.git("commit", "--quiet", "--all", "--message", "second")

    monorepo.git("checkout", "--quiet", "HEAD~1")
    outcome = monorepo.build()
    assert (outcome.status, outcome.ran, outcome.judged) == (0, {}, {})
    assert outcome.restored["//vision:sorter#tm"] == "shared/blocks.py changed"
    assert outcome.statuses == {label: "up to date" if label.startswith("//speech") else "restored" for label in LABELS}
    assert monorepo.artifacts() == older

    monorepo.git("checkout", "--quiet", "-")
    assert monorepo.build().ran == {}
    assert monorepo.artifacts() == newer


def test_a_file_rewritten_with_the_same_size_and_time(small: Workspace) -> None:
    small.build()
    path = small.root / "factor.txt"
    seen = path.stat()
    path.write_text("4\n")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (seen.st_size, seen.st_mtime_ns)
    outcome = small.build()
    assert outcome.ran["//:scale#weights"] == "factor.txt changed"
    assert outcome.rows["//:scale@x86"]["status"] == "built"


def test_training_code_changed_while_its_action_ran(small: Workspace) -> None:
    """What was made is of the file as it was; the build says so, and the next one knows."""
    small.edit("scale.py", TRAIN, TRAIN + PAUSE)
    running = small.start()
    small.until_log("weights", "asleep")
    small.edit("scale.py", PAUSE, "    print('well')\n")
    small.wake()
    outcome = running.wait()
    assert outcome.status == 0, outcome.text
    assert outcome.lines[-1] == "note: changed while the build ran: scale.py; build again"
    again = small.build()
    assert again.ran["//:scale#weights"] == "scale.py changed"
    assert small.build(summary=False).lines == ("everything is up to date: 1 outputs, nothing to run",)


def test_a_data_file_changed_between_two_actions_that_read_it(small: Workspace) -> None:
    """No artifact is made of two versions of one file."""
    small.edit("scale.py", TRAIN, TRAIN + PAUSE)
    running = small.start()
    small.until_log("weights", "asleep")
    small.write("factor.txt", "5\n")
    small.wake()
    outcome = running.wait()
    assert outcome.status == 1
    assert "//:scale#tm: factor.txt changed while the build ran; build again" in outcome.errors
    shutil.rmtree(small.root / ".megbuild/logs")
    running = small.start()
    small.until_log("weights", "asleep")
    small.wake()
    again = running.wait()
    assert again.status == 0, again.text
    assert again.ran["//:scale#weights"] == "factor.txt changed"
