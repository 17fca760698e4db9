"""doit's own commands and megbuild's, on labels, as a user types them in a workspace with a dodo.py."""

from __future__ import annotations

from .workspace import Workspace

KIOSK = "//vision:sorter@kiosk"


def test_list_shows_labels_as_groups_and_tasks(monorepo: Workspace) -> None:
    outcome = monorepo.doit("list", "--all", "--quiet")
    assert outcome.status == 0, outcome.text
    assert set(map(str.strip, outcome.lines)) == {
        "//speech",
        "//vision",
        "//vision/detector",
        "//speech:keyword@gateway",
        "//speech:voice@kiosk",
        KIOSK,
        "//vision:sorter@gateway",
        "//vision/detector:parts@kiosk",
        "//vision/detector:parts@gateway",
    } | {line for line in map(str.strip, outcome.lines) if line == "models"}


def test_list_of_one_package_says_what_each_output_is(monorepo: Workspace) -> None:
    outcome = monorepo.doit("list", "--all", "//vision")
    assert outcome.status == 0, outcome.text
    (line,) = [line for line in outcome.lines if line.startswith(KIOSK)]
    assert "mge for kiosk: tm -> mge" in line


def test_info_shows_targets_and_status(monorepo: Workspace) -> None:
    outcome = monorepo.doit("info", KIOSK)
    assert "up-to-date" in outcome.text
    assert f"{monorepo.root}/out/vision/sorter/kiosk/sorter.mge" in outcome.text
    monorepo.edit("vision/sorter.py", "seed=1", "seed=4")
    outcome = monorepo.doit("info", KIOSK)
    assert "status" in outcome.text
    assert ": run" in outcome.text


def test_clean_removes_artifacts_and_the_next_build_restores_them(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    outcome = monorepo.doit("clean", KIOSK)
    assert outcome.status == 0, outcome.text
    assert before.keys() - monorepo.artifacts().keys() == {
        f"out/vision/sorter/kiosk/{name}" for name in ("sorter.mge", "record.json")
    }
    again = monorepo.build()
    assert again.ran == {}
    assert again.restored.keys() == {KIOSK}
    assert monorepo.artifacts() == before


def test_forget_makes_exactly_that_label_again(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    assert monorepo.build().ran == {}
    outcome = monorepo.doit("forget", KIOSK)
    assert (outcome.status, outcome.lines) == (0, (f"forgetting {KIOSK}",))
    again = monorepo.build()
    assert again.status == 0, again.text
    assert again.ran == {
        f"//vision:sorter{step}": "never built" for step in ("#tm", "#expected", "#mge", "#mge+measured")
    }
    assert again.judged.keys() == {KIOSK}
    assert monorepo.artifacts() == before


def test_run_builds_a_label(monorepo: Workspace) -> None:
    monorepo.edit("vision/sorter.py", "seed=1", "seed=5")
    outcome = monorepo.doit("run", KIOSK)
    assert outcome.status == 0, outcome.text
    assert outcome.ran.keys() == {f"//vision:sorter{step}" for step in ("#tm", "#expected", "#mge", "#mge+measured")}
    assert monorepo.doit("run", KIOSK).ran == {}


def test_run_of_a_label_that_fails(monorepo: Workspace) -> None:
    monorepo.edit("vision/sorter.py", "    network = Sorter()", "    raise RuntimeError('broken')")
    outcome = monorepo.doit("run", KIOSK)
    assert outcome.status != 0
    assert "//vision:sorter#tm: exited with status 1" in outcome.errors
    assert "  | RuntimeError: broken" in outcome.errors


def test_a_dry_run_tells_and_runs_nothing(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    monorepo.edit("speech/voice.py", "range(20)", "range(21)")
    outcome = monorepo.doit("build", "--dry-run", "//speech/...")
    assert outcome.status == 0
    assert outcome.told("would run") == {"//speech:voice#weights": "speech/voice.py changed"}
    assert outcome.told("may run") == {
        "//speech:voice#tm": "//speech:voice#weights must run first",
        "//speech:voice#expected": "//speech:voice#tm must run first",
        "//speech:voice#mge": "//speech:voice#tm must run first",
        "//speech:voice#mge+measured": "//speech:voice#mge must run first",
        "//speech:voice@kiosk": "//speech:voice#mge must run first",
    }
    assert outcome.lines[-1] == "6 of 11 actions are stale"
    assert monorepo.artifacts() == before
    assert monorepo.doit("build", "--dry-run", "//vision/...").lines == ("all 16 actions are up to date",)


def test_why_tells_what_is_stale_and_what_follows(monorepo: Workspace) -> None:
    monorepo.edit("vision/sorter.py", "seed=1", "seed=4")
    outcome = monorepo.doit("why", KIOSK)
    assert outcome.lines == (
        KIOSK,
        "  //vision:sorter#tm: stale",
        "      vision/sorter.py changed",
        "  //vision:sorter#mge: may have to run",
        "      //vision:sorter#tm must run first",
        "  //vision:sorter#expected: may have to run",
        "      //vision:sorter#tm must run first",
        "  //vision:sorter#mge+measured: may have to run",
        "      //vision:sorter#mge must run first",
        "  //vision:sorter@kiosk: may have to run",
        "      //vision:sorter#mge must run first",
    )


def test_a_label_that_does_not_exist(monorepo: Workspace) -> None:
    for command in (("build",), ("why",), ("forget",), ("build", "--dry-run")):
        outcome = monorepo.doit(*command, "//vision:sortr@kiosk")
        assert outcome.status != 0
        assert outcome.errors[0].endswith("[MB122]") or "sortr" in outcome.errors[0]
        assert "did you mean //vision:sorter@kiosk?" in outcome.errors[1]
        assert len(outcome.errors) == 2


def test_files_of_the_workspace_that_are_named_like_modules(small: Workspace) -> None:
    """Nothing of megbuild imports them in place of Python's own."""
    for name in ("random", "queue", "json", "rich", "doit", "types"):
        small.write(f"{name}.py", "raise RuntimeError('the wrong module')\n")
    outcome = small.build(summary=False)
    assert outcome.status == 0, outcome.text
    assert small.doit("why", "//:scale@x86").status == 0
