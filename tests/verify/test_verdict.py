"""The verdict as a step: it counts the artifact's bytes and nothing else that is staged."""

from __future__ import annotations

import json
from pathlib import Path

from megbuild.graph.actions import Action
from megbuild.store.content import ContentStore
from megbuild.store.digests import Digest
from megbuild.verify.verdict import verdict


def test_only_the_artifact_counts_for_the_budget(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    action = Action("//:m@o", "verdict", "", "//:m", "", (), ("verdict.json",), options={"budget.size_mb": 0.001})
    staged = {
        "in/artifact/model.a": Digest("0", 600),
        "in/artifact/model.b": Digest("1", 400),
        "code/core/judge.py": Digest("2", 9999),
    }
    for size, state in ((400, "not run"), (401, "fail")):
        staged["in/artifact/model.b"] = Digest("1", size)
        outputs = verdict(action, staged, content)
        assert json.loads(content.read(outputs["verdict.json"]))["state"] == state
