"""A small workspace with toy rules, so that these tests know exactly what is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from megbuild.declare.load import load
from megbuild.errors import MegbuildError

TOY_RULES = {
    "trace/rule.py": """
        from megbuild.rule import Rule
        RULES = (
            Rule(consumes="training", produces="weights", files=(".weights",), toolchain="toy"),
            Rule(consumes="source", produces="tm", files=(".tm",), toolchain="toy"),
        )
    """,
    "mge/rule.py": """
        from megbuild.rule import Option, Rule
        RULE = Rule(
            consumes="tm", produces="mge", files=(".mge",), toolchain="toy",
            options={
                "layout": Option("default", choices=("default", "nchw88", "nchw44")),
                "precision": Option("fp32", choices=("fp32", "fp16")),
            },
        )
    """,
    "onnx/rule.py": """
        from megbuild.rule import Option, Rule
        RULE = Rule(
            consumes="tm", produces="onnx", files=(".onnx",), toolchain="toy",
            options={"opset": Option(12, range=(7, 12), help="Operator set."), "clip": Option(0.5)},
        )
    """,
    "npu/rule.py": """
        from megbuild.rule import Option, Rule
        RULE = Rule(
            consumes="onnx", produces="rknn", files=(".rknn",), toolchain="npu",
            options={"precision": Option("fp16", choices=("fp16", "int8")), "target": Option("rk3588")},
        )
    """,
    "trace/worker.py": "",
    "mge/worker.py": "",
    "onnx/worker.py": "",
    "npu/worker.py": "",
    "npu/toolchain.toml": 'python = "3.9"\n',
    "npu/requirements.lock": "",
    "toolchains/toy/toolchain.toml": 'python = "3.9"\n',
    "toolchains/toy/requirements.lock": "",
    "hardware.toml": """
        [x86]
        format = "mge"
        [arm64]
        format = "mge"
        options = { layout = "nchw44" }
        runs_here = false
        [onnx]
        format = "onnx"
        [rk3588]
        format = "rknn"
        options = { target = "rk3588" }
        family = "NPU"
    """,
}

SOUND = """
    [models.net]
    source = "net.py:build"
    inputs = [{ name = "data", shape = [1, 3, 8, 8] }]
    results = [{ name = "prob", shape = [1, 10] }]
    [models.net.outputs.x86]
"""
"""A model without mistakes, to be spoilt by tests."""

Write = Callable[[Mapping[str, str]], Path]


def write_files(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


@pytest.fixture(scope="session")
def toy_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    write_files(folder, TOY_RULES)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files into a workspace whose root says that it is one, and give its root."""

    def write(files: Mapping[str, str]) -> Path:
        root = tmp_path / "ws"
        if "pyproject.toml" not in files:
            write_files(root, {"pyproject.toml": "[tool.megbuild]\n"})
        write_files(root, files)
        return root

    return write


@pytest.fixture
def complaints(write: Write, toy_rules: Path) -> Callable[[Mapping[str, str]], str]:
    """Everything that loading these files says is wrong; nothing when they load."""

    def complaints(files: Mapping[str, str]) -> str:
        try:
            load(write(files), builtin=toy_rules)
        except MegbuildError as error:
            return str(error)
        return ""

    return complaints
