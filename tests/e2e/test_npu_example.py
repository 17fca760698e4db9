"""The example of NPUs: one network by every compiler, each file run in its vendor's simulator."""

from __future__ import annotations

import shutil
from pathlib import Path

from .conftest import REPOSITORY, _cache
from .workspace import Workspace

RUNTIMES = {
    "rk3588": "rknn-toolkit2 2.5.0 simulator",
    "k210": "nncase 1.9.0.20230322 K210 simulator",
    "k230": "nncase 2.11.0 K230 simulator",
    "bm1684x": "tpu-mlir 1.30.2 simulator",
    "cv181x": "tpu-mlir 1.30.2 simulator",
}


def test_one_network_on_every_npu(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    for name in ("npu", "quantised", "quickstart"):
        shutil.copytree(REPOSITORY / "examples" / name, root / "examples" / name)
    (root / "pyproject.toml").write_text('[tool.megbuild]\ndefault = ["//examples/npu/..."]\n')
    space = Workspace(root, _cache(tmp_path))
    outcome = space.build()
    space.end()
    assert outcome.status == 0, outcome.text
    arm = outcome.rows.pop("//examples/npu:quantised@ethos-u55-128")
    assert (arm["status"], arm["verdict"]) == ("built", "not run")
    assert {label.partition("@")[2]: row["runtime"] for label, row in outcome.rows.items()} == RUNTIMES
    for row in outcome.rows.values():
        assert (row["status"], row["verdict"], row["samples"]) == ("built", "pass", 10), row
        assert row["accuracy"] >= 0.9
