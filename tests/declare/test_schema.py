"""The JSON Schema for editors agrees with the reader, and the committed one with the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from megbuild.declare import hardware, rules, schema
from megbuild.declare.options import Options
from megbuild.errors import Problem

from .test_errors import CASES, MODEL, NET

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").rglob("MODELS.toml"))
BY_SHAPE = ("MB104", "MB105", "MB106", "MB107", "MB116", "MB117")
"""Mistakes of these codes can be seen in the tables alone (except for names, whose rule is for a few keys only)."""


def installed(folder: Path) -> tuple[Options, list[str]]:
    """The options of the rules in a folder, and the names of the hardware that it knows."""
    problems: list[Problem] = []
    found = rules.discover(folder, None, folder, problems).rules
    known = hardware.catalogue(folder / hardware.BUILTIN, None, Options(found), (), problems)
    assert not problems
    return Options(found), sorted(known)


def validator(folder: Path) -> jsonschema.Draft202012Validator:
    made = schema.json_schema(*installed(folder))
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.fixture(scope="module")
def toy(toy_rules: Path) -> jsonschema.Draft202012Validator:
    return validator(toy_rules)


def test_the_committed_schema_is_that_of_the_code() -> None:
    made = json.dumps(schema.json_schema(*installed(ROOT / "rules")), indent=2) + "\n"
    assert (ROOT / "docs/models.schema.json").read_text() == made, (
        "make it anew: ./doit schema > docs/models.schema.json"
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=[str(path.relative_to(ROOT)) for path in EXAMPLES])
def test_the_examples_are_valid(path: Path) -> None:
    validator(ROOT / "rules").validate(tomli.loads(path.read_text()))


def test_a_sound_model_is_valid(toy: jsonschema.Draft202012Validator) -> None:
    toy.validate(tomli.loads(MODEL))


def codes(said: str) -> set[str]:
    return set(re.findall(r"\[(MB\d{3})\]$", said, re.MULTILINE))


def is_about_shapes(said: str) -> bool:
    """Whether a mistake is in a readable MODELS.toml, and none of those that need more than the tables to be seen."""
    others = ("MB103", "tensor", "range", "finite", "beside", "package")
    return "v/MODELS.toml" in said and not any(word in said for word in others)


@pytest.mark.parametrize("case", [case for case, (_, said) in CASES.items() if is_about_shapes(said)])
def test_the_schema_and_the_reader_agree_on_shapes(case: str, toy: jsonschema.Draft202012Validator) -> None:
    files, said = CASES[case]
    assert toy.is_valid(tomli.loads(files["v/MODELS.toml"])) == (not codes(said) & set(BY_SHAPE))


def test_options_of_rules_are_keys_of_outputs_and_defaults(toy: jsonschema.Draft202012Validator) -> None:
    tables: dict[str, Any] = toy.schema["$defs"]  # type: ignore[index,call-overload]
    output = tables["OutputTable"]["properties"]
    assert output["opset"] == {
        "type": "integer",
        "minimum": 7,
        "maximum": 12,
        "description": "Operator set. (option of onnx)",
    }
    assert [kind["enum"] for kind in output["precision"]["anyOf"]] == [["fp32", "fp16"], ["fp16", "int8"]]
    assert tables["DefaultsTable"]["properties"]["opset"] == output["opset"]
    assert output["hardware"]["examples"] == ["arm64", "onnx", "rk3588", "x86"]


def test_every_key_is_described(toy: jsonschema.Draft202012Validator) -> None:
    tables: dict[str, Any] = toy.schema["$defs"]  # type: ignore[index,call-overload]
    bare = [
        f"{name}.{key}" for name, t in tables.items() for key, p in t["properties"].items() if "description" not in p
    ]
    assert not bare


def test_the_reader_knows_the_example_of_the_schema(complaints: Callable[[Mapping[str, str]], str]) -> None:
    line = '#:schema ../docs/models.schema.json\n"$schema" = "x"\n'
    assert "unknown key" in complaints({"v/MODELS.toml": line + MODEL, "v/net.py": NET})
    assert complaints({"v/MODELS.toml": line.splitlines()[0] + "\n" + MODEL, "v/net.py": NET}) == ""
