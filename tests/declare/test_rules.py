"""Rules are found by their folder, in megbuild and in the workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from megbuild.declare.load import load

Write = Callable[[Mapping[str, str]], Path]
MINE = """
from megbuild.rule import Option, Rule

RULE = Rule(("onnx", "tm"), "board", (".board",), "mine", {"speed": Option(1.0)}, run_toolchain="toy")
"""


def test_megbuilds_own(write: Write, toy_rules: Path) -> None:
    workspace = load(write({}), builtin=toy_rules)
    assert [(rule.name, rule.origin) for rule in workspace.rules] == [
        ("mge", "megbuild"),
        ("npu", "megbuild"),
        ("onnx", "megbuild"),
        ("trace/weights", "megbuild"),
        ("trace/tm", "megbuild"),
    ]
    assert workspace.rules[0].folder == str(toy_rules / "mge")
    assert sorted(workspace.toolchains) == ["npu", "toy"]


def test_a_workspace_has_its_own_rule_with_its_own_toolchain_and_options(write: Write, toy_rules: Path) -> None:
    files = {
        "rules/mine/rule.py": MINE,
        "rules/mine/worker.py": "",
        "rules/mine/toolchain.toml": 'python = "3.10"\n',
        "rules/mine/requirements.lock": "",
        "rules/notes/README.md": "no rule",
        "rules/toolchains/unused/toolchain.toml": "is not even read",
    }
    workspace = load(write(files), builtin=toy_rules)
    (mine,) = (rule for rule in workspace.rules if rule.origin != "megbuild")
    assert (mine.name, mine.origin, mine.rule.sources) == ("mine", "rules/mine", ("onnx", "tm"))
    assert workspace.toolchains["mine"].python == "3.10"
    assert not list(Path(mine.folder).glob("__pycache__"))


def test_megbuilds_own_repository_loads_its_rules_once(write: Write, toy_rules: Path) -> None:
    (toy_rules / "pyproject.toml").write_text("[tool.megbuild]\n")
    try:
        root = write({})
        (root / "rules").symlink_to(toy_rules)
        assert len(load(root, builtin=root / "rules").rules) == 5
    finally:
        (toy_rules / "pyproject.toml").unlink()


def test_a_toolchain_that_is_broken_is_told_with_the_rest(write: Write, toy_rules: Path) -> None:
    files = {"rules/mine/rule.py": MINE, "rules/mine/worker.py": "", "rules/mine/toolchain.toml": "python = 3\n"}
    try:
        load(write({**files, "MODELS.toml": "x = 1\n"}), builtin=toy_rules)
    except Exception as error:
        assert "rules/mine/toolchain.toml:1:10: " in str(error) and "MODELS.toml:1:1: " in str(error)
    else:
        raise AssertionError
