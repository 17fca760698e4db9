"""However an action is started and confined, its bytes are the same: forked or anew, in the box or in a weaker one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from megbuild import pipeline
from megbuild.cli.schedule import Scheduler
from megbuild.execute import local, zygote, zygotes
from megbuild.execute.turns import Machine

from ..conftest import Heard
from .conftest import SMALL
from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]
OUTPUTS = "\n".join(f"[models.scale.outputs.{name}]" for name in ("onnx", "tflite", "caffe"))
WAYS = {"anew": (False, ""), "by Landlock alone": (True, "namespaces"), "by nothing": (False, "landlock")}


@pytest.fixture
def forked(unbuilt: Make) -> Workspace:
    """A workspace built as users build it."""
    space = unbuilt(
        {
            "MODELS.toml": f"{SMALL['MODELS.toml'].rstrip()}\n"
            + "\n".join(" " * 8 + line for line in OUTPUTS.splitlines())
            + "\n"
        }
    )
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    return space


def test_bytes_do_not_depend_on_how_an_action_was_started(
    forked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = forked.artifacts()
    assert len(wanted) >= 9
    kind_of, preloaded = local.Local._kind, []

    for name, (warm, without) in WAYS.items():
        root, cache = tmp_path / name / "workspace", tmp_path / name / "cache"
        shutil.copytree(forked.root, root, ignore=shutil.ignore_patterns("out", ".megbuild"))
        cache.mkdir()
        (cache / "toolchains").symlink_to((forked.cache / "toolchains").resolve())
        monkeypatch.setitem(os.environ, "MEGBUILD_CACHE", str(cache))

        def kind(*arguments: Any, warm: bool = warm) -> zygote.Kind:
            found = kind_of(*arguments)
            preloaded.append(found.preload)
            return found if warm else replace(found, preload=())

        monkeypatch.setattr(local.Local, "_kind", kind)
        monkeypatch.setattr(local, "Zygotes", partial(zygotes.Zygotes, without=without))
        heard = Heard()
        report = pipeline.build(pipeline.Asked((), root), heard, Scheduler(Machine.here(2, 0), False))
        assert not report.failed
        assert bool(heard.notes) == bool(without)  # the warning
        assert Workspace(root, cache).artifacts() == wanted, name
    assert all(preloaded)


def test_bytes_from_a_stem_are_the_same(forked: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each action is run until one of its runs has come from a stem: that one's outputs stand, those before were removed."""
    root, cache = tmp_path / "stems" / "workspace", tmp_path / "stems" / "cache"
    shutil.copytree(forked.root, root, ignore=shutil.ignore_patterns("out", ".megbuild"))
    cache.mkdir()
    (cache / "toolchains").symlink_to((forked.cache / "toolchains").resolve())
    monkeypatch.setitem(os.environ, "MEGBUILD_CACHE", str(cache))
    original, grown = zygote.Zygote.run, []

    def run(self: zygote.Zygote, name: str, *rest: Any) -> Any:
        before, deadline = self.grown, time.monotonic() + 60
        while True:
            ending = original(self, name, *rest)
            if self.grown > before or not ending.well:
                grown.append(name)
                return ending
            assert time.monotonic() < deadline, f"no stem for {name}"
            for path in (self.actions / name / "out").rglob("*"):
                if path.is_file():
                    path.unlink()

    monkeypatch.setattr(zygote.Zygote, "run", run)
    report = pipeline.build(pipeline.Asked((), root), Heard(), Scheduler(Machine.here(1, 0), False))
    assert not report.failed
    assert len(grown) >= 10
    assert Workspace(root, cache).artifacts() == forked.artifacts()
