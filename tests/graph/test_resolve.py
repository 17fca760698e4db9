"""Options along a road: who wins, what contradicts, what nobody takes."""

from __future__ import annotations

from typing import Any

import pytest

from megbuild.declare.models import Hardware, InstalledRule, Model, Output, Pinned, Workspace
from megbuild.errors import MegbuildError
from megbuild.graph.resolve import Step, resolve, steps
from megbuild.rule import Option, Rule


def rule(name: str, consumes: str, produces: str, **rest: Any) -> InstalledRule:
    return InstalledRule(name, Rule(consumes, produces, (f".{produces}",), "toy", **rest), f"/{name}")


ONNX = rule(
    "onnx", "tm", "onnx", options={"opset": Option(12, range=(7, 12)), "clip": Option(0.5), "fold": Option(True)}
)
NPU = rule("npu", "onnx", "npu", options={"opset": Option(1), "target": Option("a")}, requires={"onnx": {"opset": 11}})


def settled(*road: InstalledRule, preset: dict[str, Any] | None = None, **given: Any) -> list[dict[str, Any]]:
    inherited = given.pop("inherited", {})
    output = Output("o", "h", options=given, inherited=inherited)
    return [dict(step.options) for step in steps("//:m@o", road, preset or {}, output)]


def test_who_wins() -> None:
    assert settled(ONNX) == [{"clip": 0.5, "fold": True, "opset": 12}]
    assert settled(ONNX, inherited={"opset": 10})[0]["opset"] == 10
    assert settled(ONNX, inherited={"opset": 10}, preset={"opset": 9})[0]["opset"] == 9
    assert settled(ONNX, inherited={"opset": 10}, preset={"opset": 9}, opset=8)[0]["opset"] == 8


def test_what_the_next_step_requires_is_for_the_step_before_it_only() -> None:
    assert [options["opset"] for options in settled(ONNX, NPU)] == [11, 1]
    assert settled(ONNX, NPU, inherited={"opset": 9}, preset={"opset": 8})[0]["opset"] == 11
    assert settled(ONNX, NPU, opset=11) == [{"clip": 0.5, "fold": True, "opset": 11}, {"opset": 11, "target": "a"}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"opset": 9}, "//:m@o: opset = 9 contradicts npu, which needs its onnx made with opset = 11 [MB203]"),
        (
            {"targt": "b"},
            "//:m@o: no step of its road (onnx -> npu) has an option targt [MB202]\n  hint: did you mean target?",
        ),
        ({"clip": "x"}, "//:m@o: clip must be a number, not a string [MB202]"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(MegbuildError) as error:
        settled(ONNX, NPU, **given)
    assert said in str(error.value)


def test_a_requirement_that_nobody_can_meet_is_no_silence() -> None:
    asks = rule("asks", "onnx", "x", requires={"onnx": {"opsett": 12}})
    with pytest.raises(MegbuildError, match="asks needs its onnx made with opsett = 12, and onnx has no option opsett"):
        settled(ONNX, asks)


def test_every_problem_is_told() -> None:
    with pytest.raises(MegbuildError) as error:
        settled(ONNX, NPU, opset=9, nothing=1, clip="x")
    assert [problem.code for problem in error.value.problems] == ["MB202", "MB202", "MB203"]


def test_a_whole_number_becomes_the_number_it_is_meant_to_be() -> None:
    assert repr(settled(ONNX, clip=1)[0]["clip"]) == "1.0"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "onnx"),
        ({"opset": 11}, "onnx-opset11"),
        ({"fold": False}, "onnx-no_fold"),
        ({"clip": 0.25, "fold": False, "opset": 9}, "onnx-clip0.25-no_fold-opset9"),
    ],
)
def test_a_step_is_named_by_what_is_not_usual(options: dict[str, Any], name: str) -> None:
    assert Step(ONNX, tuple(sorted({"clip": 0.5, "fold": True, "opset": 12, **options}.items()))).name == name


def test_forbidden_characters_in_a_name() -> None:
    assert Step(NPU, (("opset", 1), ("target", "a/b c"))).name == "npu-a-b-c"


INT8 = rule(
    "int8", "onnx", "onnx", options={"precision": Option("float", choices=("float", "int8")), "batch": Option(1)}
)
BATCHED = rule("onnx", "tm", "onnx", options={"opset": Option(12), "batch": Option(1)})


def refined(*rules: InstalledRule, format: str, preset: dict[str, Any] | None = None, **given: Any) -> list[Step]:
    """The steps of an output for a hardware of this format, from a .tm."""
    inherited = given.pop("inherited", {})
    model = Model("", "m", (), (), (), archive=Pinned("m.tm", "0"))
    device = Hardware("device", format, options=preset or {})
    workspace = Workspace("/", (), (model,), tuple(rules), {"device": device}, {})
    return list(resolve(workspace, [(model, Output("o", "device", options=given, inherited=inherited))])[0].road)


def test_what_refines_is_on_the_road_where_an_option_of_its_own_is_set() -> None:
    def names(**given: Any) -> list[str]:
        return [step.name for step in refined(INT8, BATCHED, format="onnx", **given)]

    assert names() == ["onnx"]
    assert names(batch=4) == ["onnx-batch4"]  # of the step before it as well
    assert names(precision="int8") == ["onnx", "onnx-int8"]
    assert names(precision="int8", batch=4) == ["onnx-batch4", "onnx-batch4-int8"]
    assert names(preset={"precision": "int8"}) == names(inherited={"precision": "int8"}) == ["onnx", "onnx-int8"]
    assert names(precision="float", inherited={"precision": "int8"}) == ["onnx"]
    with pytest.raises(MegbuildError, match=r"has an option precison .*\n.*did you mean precision"):
        names(precison="int8")


def test_a_step_that_has_the_option_itself_is_the_one_that_is_asked() -> None:
    own = rule("chip", "onnx", "chip", options={"precision": Option("fp16", choices=("fp16", "int8"))})
    assert [step.name for step in refined(INT8, BATCHED, own, format="chip", precision="int8")] == ["onnx", "chip-int8"]


def test_requirements_go_past_what_refines() -> None:
    chip = rule("chip", "onnx", "chip", requires={"onnx": {"opset": 13, "batch": 1}})
    road = refined(INT8, BATCHED, chip, format="chip", precision="int8")
    assert [dict(step.options) for step in road] == [{"opset": 13, "batch": 1}, {"precision": "int8", "batch": 1}, {}]
    with pytest.raises(MegbuildError, match="batch = 4 contradicts chip"):
        refined(INT8, BATCHED, chip, format="chip", precision="int8", batch=4)
    wrong = rule("chip", "onnx", "chip", requires={"onnx": {"colour": 1}})
    with pytest.raises(MegbuildError, match="chip needs its onnx made with colour = 1, and onnx has no option colour"):
        refined(INT8, BATCHED, wrong, format="chip", precision="int8")
    asks = rule("chip", "onnx", "chip", requires={"onnx": {"precision": "int8"}})
    assert dict(refined(INT8, BATCHED, asks, format="chip", precision="int8")[1].options)["precision"] == "int8"


def test_a_rule_that_wants_its_source_unrefined() -> None:
    chip = rule("chip", "onnx", "chip", requires={"onnx": {"precision": "float"}})
    assert [step.name for step in refined(INT8, BATCHED, chip, format="chip")] == ["onnx", "chip"]
    with pytest.raises(
        MegbuildError, match="precision = int8 contradicts chip, which needs its onnx made with precision = float"
    ):
        refined(INT8, BATCHED, chip, format="chip", precision="int8")
    other = rule("chip", "onnx", "chip", requires={"onnx": {"precision": "int8"}})
    with pytest.raises(
        MegbuildError, match="chip needs its onnx made with precision = int8, and onnx has no option precision"
    ):
        refined(INT8, BATCHED, other, format="chip")


def test_the_name_of_a_step_behind_one_that_refines() -> None:
    chip = rule("chip", "onnx", "chip", options={"fold": Option(False), "batch": Option(1)})
    road = refined(INT8, BATCHED, chip, format="chip", precision="int8", fold=True, batch=2)
    assert [step.name for step in road] == ["onnx-batch2", "onnx-batch2-int8", "chip-batch2-fold-int8"]


def test_of_two_formats_that_could_be_refined_it_is_the_last_one() -> None:
    """A delivered ONNX file on its way to TFLite is not quantised first."""
    lite = rule("lite", "onnx", "lite", options={"fold": Option(False)})
    lite8 = rule("lite8", "lite", "lite", options=dict(INT8.rule.options))
    road = refined(INT8, lite8, BATCHED, lite, format="lite", precision="int8")
    assert [step.name for step in road] == ["onnx", "lite", "lite-int8"]
