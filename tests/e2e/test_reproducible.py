"""The same bytes wherever and whenever the quickstart is built, each time from an empty store."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from .conftest import REPOSITORY, _cache
from .workspace import Outcome, Workspace

SETTINGS = '[tool.megbuild]\ndefault = ["//..."]\n'


def quickstart(folder: Path, name: str) -> Workspace:
    """The example alone in a workspace of another name."""
    root = folder / name
    shutil.copytree(
        REPOSITORY / "examples" / "quickstart",
        root / "examples" / "quickstart",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (root / "pyproject.toml").write_text(SETTINGS)
    return Workspace(root, _cache(folder / f"cache of {name}"))


def digests(space: Workspace) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in space.artifacts().items()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Outcome]:
    """The quickstart, built once from an empty store."""
    space = quickstart(tmp_path_factory.mktemp("first"), "here")
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    return space, outcome


def test_every_output_is_made_and_passes(first: tuple[Workspace, Outcome]) -> None:
    _, outcome = first
    names = {label.partition("@")[2] for label in outcome.rows}
    assert names == {"server", "onnx", "tflite", "caffe", "rk3588", "rk3588-int8"}
    for row in outcome.rows.values():
        assert (row["status"], row["verdict"]) == ("built", "pass"), row
        assert row["samples"] == 359
        assert row["accuracy"] >= 0.97


def test_the_second_build_runs_nothing(first: tuple[Workspace, Outcome]) -> None:
    space, _ = first
    assert space.build(summary=False).lines == ("everything is up to date: 6 outputs, nothing to run",)


def test_the_readme_shows_what_the_build_prints(first: tuple[Workspace, Outcome]) -> None:
    from megbuild.cli.table import size

    _, outcome = first
    readme = (REPOSITORY / "README.md").read_text()
    for row in outcome.rows.values():
        cells = (row["label"], size(row["size"]), row["runtime"], row["verdict"], f"{100 * row['accuracy']:.2f} %")
        assert f"| {' | '.join(cells)} |" in readme


def test_another_folder_hash_seed_time_zone_and_job_count_give_the_same_bytes(
    first: tuple[Workspace, Outcome], tmp_path: Path
) -> None:
    space, _ = first
    other = quickstart(tmp_path, "quite another folder")
    other.environment = {
        "PYTHONHASHSEED": "77",
        "TZ": "Asia/Tokyo",
        "LANG": "C",
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": str(os.cpu_count()),
        "NOISE": "x" * 5000,
    }
    outcome = other.build("-n1")
    assert outcome.status == 0, outcome.text
    assert len(outcome.ran) == 15, outcome.ran  # 9 steps that make something and 6 that measure
    assert digests(other) == digests(space)
