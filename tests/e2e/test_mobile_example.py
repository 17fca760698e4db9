"""The example for phones and CPUs: every engine gives the accuracy of the network, in float and in int8."""

from __future__ import annotations

import shutil
from pathlib import Path

from .conftest import REPOSITORY, _cache
from .workspace import Workspace


def test_every_engine_of_the_example(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    for name in ("mobile", "quickstart"):
        shutil.copytree(REPOSITORY / "examples" / name, root / "examples" / name)
    (root / "pyproject.toml").write_text('[tool.megbuild]\ndefault = ["//examples/mobile/..."]\n')
    space = Workspace(root, _cache(tmp_path))
    outcome = space.build()
    space.end()
    assert outcome.status == 0, outcome.text
    rows = {label.partition("@")[2]: row for label, row in outcome.rows.items()}
    assert rows.keys() == {"openvino", "openvino-int8", "ncnn", "mnn"}
    for row in rows.values():
        assert (row["verdict"], row["samples"]) == ("pass", 359), row
        assert row["accuracy"] >= 0.97
    assert rows["openvino-int8"]["size"] < 0.7 * rows["openvino"]["size"]
