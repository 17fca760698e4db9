"""Adding a converter is adding one folder: a workspace's own rule is in the picture, the options, the schema, the roads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from megbuild.declare.load import load
from megbuild.declare.options import Options
from megbuild.declare.rules import builtin_rules_folder
from megbuild.declare.schema import json_schema
from megbuild.graph.routes import mermaid

BUILTIN = builtin_rules_folder()

RULE = {
    "rules/zipped/rule.py": '''
        """zipped: .onnx -> .zipped, for the test"""
        from megbuild.rule import Option, Rule
        RULE = Rule(consumes="onnx", produces="zipped", files=(".zipped",), toolchain="zipped", runs_on=("unzip",),
                    options={"level": Option(6, range=(0, 9), help="How hard to try.")}, requires={"onnx": {"opset": 11}})
    ''',
    "rules/zipped/worker.py": "def build(job): ...\n",
    "rules/zipped/toolchain.toml": 'python = "3.9"\nsummary = "toy"\n',
    "rules/zipped/requirements.lock": "",
}
OUTPUTS = """
    [models.net.outputs.archive]
    hardware = "archiver"
    level = 9
"""


@pytest.fixture
def own(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The toy's runner, with megbuild's real rules and one folder more."""
    monkeypatch.setattr("megbuild.declare.rules.builtin_rules_folder", lambda: BUILTIN)
    models = (toy.root / "MODELS.toml").read_text().split("[models.net.outputs")[0]
    toy.write({"MODELS.toml": models + OUTPUTS, **RULE, "HARDWARE.toml": '[archiver]\nformat = "zipped"\n'})
    return toy


def test_it_is_found_everywhere(own: Any) -> None:
    workspace = load(own.root)
    assert "  onnx -- zipped --> zipped" in mermaid(workspace.rules).splitlines()
    assert "level" in Options(workspace.rules).names
    assert "How hard to try." in json.dumps(json_schema(Options(workspace.rules), workspace.hardware))
    assert workspace.hardware["archiver"].format == "zipped"
    assert workspace.toolchains["zipped"].summary == "toy"


def test_its_artifact_is_made_on_the_shortest_road_and_kept(own: Any) -> None:
    (row,) = own.build().values()
    assert (row.label, row.status, row.artifact) == ("//:net@archive", "built", "out/net/archive/net.zipped")
    record = json.loads((own.root / "out/net/archive/record.json").read_text())
    assert record["road"] == ["traced_module/tm", "onnx", "zipped"]
    assert (record["options"]["opset"], record["options"]["level"]) == (11, 9)
    assert "//:net#zipped-level9" in own.ran
    assert own.build()["//:net@archive"].status == "up to date"
    assert own.ran == []


def test_its_code_is_a_part_of_its_key_and_of_no_other(own: Any) -> None:
    own.build()
    own.write({"rules/zipped/worker.py": "def build(job): return 1\n"})
    own.build()
    assert sorted(own.ran) == ["//:net#zipped-level9", "//:net#zipped-level9+measured"]
    assert own.reasons("//:net#zipped-level9") == "code rules/zipped/worker.py changed"
