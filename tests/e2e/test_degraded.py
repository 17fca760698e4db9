"""Builds on machines whose kernel has less: one warning and the same artifacts, or a refusal."""

from __future__ import annotations

import pytest

from tests.lacking import lack

from .workspace import Workspace


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (("namespaces",), "only Landlock confines actions here, because namespaces cannot be made"),
        (("namespaces", "landlock"), "nothing confines actions here, because namespaces cannot be made"),
        (("seccomp",), "actions are confined without a filter of system calls here"),
    ],
)
def test_a_machine_that_lacks_something(small: Workspace, missing: tuple[str, ...], sentence: str) -> None:
    before = small.artifacts()
    small.forget_store()
    small.doit("forget", "//...")

    refused = small.start("--require-sandbox", before=lambda: lack(*missing)).wait()
    assert refused.status == 1
    assert any(sentence in line and line.endswith("[MB407]") for line in refused.errors), refused.text
    assert all(row["status"] in ("failed", "not reached") for row in refused.rows.values())

    built = small.start(before=lambda: lack(*missing)).wait()
    assert built.status == 0, built.text
    assert [line for line in (*built.lines, *built.errors) if "[MB407]" in line and sentence in line] == [
        line for line in (*built.lines, *built.errors) if "MB407" in line
    ]
    assert built.text.count("MB407") == 1
    assert "//:scale#weights" in built.ran
    assert small.artifacts() == before
