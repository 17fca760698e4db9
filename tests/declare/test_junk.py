"""Whatever stands in the files, the answer is a workspace or a MegbuildError: never a traceback."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megbuild.declare import schema
from megbuild.declare.load import load
from megbuild.errors import MegbuildError

KEYS = sorted(
    {
        key
        for table in (schema.FileTable, schema.ModelTable, schema.OutputTable, schema.InputTable, schema.VerifyTable)
        for key in table.__struct_fields__
    }
    | {"precision", "opset", "layout", "path", "sha256", "net", "x86", "a b", "..", "shape ", "é", "\n"}
)
WORDS = st.sampled_from(
    [
        "net.py:build",
        "net.py",
        "..",
        "/etc",
        "//",
        "//net.py",
        "*",
        "**",
        "**/*.npy",
        "[",
        "a\0b",
        "int8",
        "mge",
        "",
        "~",
    ]
)
scalars = st.one_of(
    WORDS,
    st.text(max_size=5),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=True, allow_infinity=True),
    st.booleans(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
models = st.fixed_dictionaries({}, optional=dict.fromkeys(schema.ModelTable.__struct_fields__, values))
files = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), values, max_size=5),
    st.fixed_dictionaries({"models": st.dictionaries(st.sampled_from(KEYS), models, min_size=1, max_size=2)}),
)


def as_toml(value: Any) -> str:
    """The value as an inline TOML value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(key)} = {as_toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode()).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def loads_or_tells(data: bytes, rules: Path, name: str = "MODELS.toml") -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pyproject.toml").write_text("[tool.megbuild]\n")
        (root / "net.py").write_text("def build(): ...\n")
        (root / name).write_bytes(data)
        try:
            load(root, builtin=rules)
        except MegbuildError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.code.startswith("MB1")
                assert problem.message.isprintable(), problem
                assert problem.where and problem.where.located().line, str(problem)
                assert str(problem)


without_fuss = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@without_fuss
@given(
    data=st.one_of(st.binary(max_size=200), st.text(alphabet="[]{}=.\"'\n ab1#é\r\t\\,-", max_size=60).map(str.encode))
)
def test_any_bytes(data: bytes, toy_rules: Path) -> None:
    loads_or_tells(data, toy_rules)


@without_fuss
@given(tables=files)
def test_any_tables(tables: dict[str, Any], toy_rules: Path) -> None:
    loads_or_tells("\n".join(f"{as_toml(key)} = {as_toml(value)}" for key, value in tables.items()).encode(), toy_rules)


@without_fuss
@given(tables=st.dictionaries(st.text(max_size=4), values, max_size=3))
def test_any_hardware(tables: dict[str, Any], toy_rules: Path) -> None:
    text = "\n".join(f"{as_toml(key)} = {as_toml(value)}" for key, value in tables.items())
    loads_or_tells(text.encode(), toy_rules, "HARDWARE.toml")


def test_nesting_beyond_reason(toy_rules: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "MODELS.toml").write_text("workspace = true\nx = " + "[" * 5000)
        try:
            load(root, builtin=toy_rules)
        except MegbuildError as error:
            assert "MB103" in str(error)
