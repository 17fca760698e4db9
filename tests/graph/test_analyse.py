"""From roads to actions: what is shared, what is told apart, what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from megbuild.errors import MegbuildError
from megbuild.graph.actions import Action
from megbuild.graph.plan import Known, plan, stale
from megbuild.graph.reasons import Reason
from megbuild.graph.stale import Last, Verb

HEAD = """
    workspace = true
    [models.net]
    source = "net.py:build"
    inputs = [{ name = "data", shape = [1, 3] }]
    results = [{ name = "prob", shape = [1, 10] }]
"""


def graph(toy: Any, outputs: str, head: str = HEAD) -> Any:
    toy.write({"MODELS.toml": head + outputs})
    return toy.prepare().graph


def test_outputs_share_the_steps_of_their_roads(toy: Any) -> None:
    actions = graph(
        toy,
        "    [models.net.outputs.onnx]\n    [models.net.outputs.chip]\n    [models.net.outputs.second]\n    hardware = 'chip'\n",
    ).actions
    assert sorted(actions) == [
        "//:net#expected", "//:net#npu-b", "//:net#npu-b+measured", "//:net#onnx", "//:net#onnx+measured", "//:net#tm",
        "//:net@chip", "//:net@onnx", "//:net@second",
    ]  # fmt: skip


def test_every_action_stands_after_those_it_needs(toy: Any) -> None:
    seen: set[str] = set()
    for action in toy.prepare().graph.actions.values():
        assert {product.action for product in action.products} <= seen
        seen.add(action.id)


def test_two_roads_to_one_format_are_two_actions_whose_names_do_not_depend_on_contents(toy: Any) -> None:
    outputs = (
        "    [models.net.outputs.chip]\n    [models.net.outputs.other]\n    hardware = 'chip'\n    via = 'caffe'\n"
    )
    first = graph(toy, outputs)
    roads = [[step.rule.name for step in aim.target.road] for aim in first.aims]
    assert roads == [["trace/tm", "onnx", "npu"], ["trace/tm", "to_caffe", "npu"]]
    assert len({aim.artifact for aim in first.aims}) == 2
    toy.write({"net.py": "def build(weights): return 2\n"})
    assert list(toy.prepare().graph.actions) == list(first.actions)
    toy.build()
    assert {row.status for row in toy.build().values()} == {"up to date"}


def test_a_model_without_training_has_no_weights(toy: Any) -> None:
    assert "//:net#weights" not in graph(toy, "    [models.net.outputs.onnx]\n").actions


def test_what_cannot_run_here_is_not_measured(toy: Any) -> None:
    actions = graph(toy, "    [models.net.outputs.arm64]\n").actions
    assert sorted(actions) == ["//:net#mge-nchw44", "//:net#tm", "//:net@arm64"]
    row = toy.build()["//:net@arm64"]
    assert (row.status, row.verdict) == ("built", "not run")


def test_int8_needs_calibration_and_every_problem_is_told(toy: Any) -> None:
    outputs = "    [models.net.outputs.chip]\n    precision = 'int8'\n    [models.net.outputs.onnx]\n    verify = { accuracy = 0.9 }\n"
    with pytest.raises(MegbuildError, match="npu needs calibration samples"):
        graph(toy, outputs)
    with pytest.raises(MegbuildError, match="MB220"):
        graph(toy, "    [models.net.outputs.onnx]\n    verify = { accuracy = 0.9 }\n")


def test_a_measurement_has_the_options_of_what_it_measures_and_nothing_else(toy: Any) -> None:
    import json

    actions = toy.prepare().graph.actions
    request = next(leaf for leaf in actions["//:net#npu-b+measured"].inputs if leaf.path == "request.json")
    asked = json.loads(request.content)
    assert asked["options"] == {"precision": "fp16", "target": "b"}
    assert asked["inputs"]["onnx"] == ["in/onnx/model.onnx"]  # its simulator compiles again


def test_a_delivered_file_is_its_own_reference(toy: Any) -> None:
    toy.write({"given.onnx": "x"})
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    head = HEAD.replace('source = "net.py:build"', f'onnx = {{ path = "given.onnx", sha256 = "{digest}" }}')
    expected = graph(toy, "    [models.net.outputs.onnx]\n", head).actions["//:net#expected"]
    assert expected.summary == "run the .onnx of //:net on its samples"
    assert [product.action for product in expected.products] == ["//:net#onnx"]


def test_a_plan_decides_as_far_as_it_can(toy: Any) -> None:
    toy.build()
    prepared = toy.prepare()
    assert not stale(prepared.planned)
    toy.write({"net.py": "def build(weights): return 2\n"})
    planned = {step.id: step for step in toy.prepare().planned}
    assert planned["//:net#weights"].decision.verb is Verb.KEEP
    assert [str(reason) for reason in planned["//:net#tm"].decision.reasons] == ["net.py changed"]
    assert planned["//:net#mge"].waits == "//:net#tm"
    assert planned["//:net@x86"].waits == "//:net#mge"


def test_a_plan_never_keeps_what_rests_on_something_else(toy: Any) -> None:
    """For every action: were its key or any component another one, it would not be kept, nor what is made from it."""
    toy.build()
    prepared = toy.prepare()
    memory, graph_ = prepared.memory, prepared.graph
    for changed in graph_.actions:

        def known(action: Action, changed: str = changed) -> Known:
            found = memory.known(action)
            last = Last("another", {}) if action.id == changed else found.last
            return Known(last, found.last_outputs, lambda key: None, found.damage)

        planned = {step.id: step for step in plan(graph_, known)}
        rests = {changed}
        for action in graph_.actions.values():
            if rests.intersection(product.action for product in action.products):
                rests.add(action.id)
        assert {id for id, step in planned.items() if step.decision.verb is not Verb.KEEP} == rests
        damaged = plan(
            graph_,
            lambda a: Known(memory.last(a.id), memory.last_outputs(a.id), lambda key: None, (Reason("edited:x"),)),
        )
        assert all(step.decision.verb is Verb.RUN for step in damaged)


REFINES = """
    from megbuild.rule import Option, Rule
    RULE = Rule(consumes="caffe", produces="caffe", files=(".prototxt", ".caffemodel"), toolchain="convert",
                options={"precision": Option("float", choices=("float", "int8"))}, needs=lambda options: ("calibration",))
"""


def test_a_format_that_is_refined(toy: Any) -> None:
    """It reads what the step before it made, and calibration samples; who makes the format runs it, and int8 has its thresholds."""
    head = HEAD + "    calibration = 'c.npy'\n"
    toy.write({"rules/int8/rule.py": REFINES, "rules/int8/worker.py": "", "c.npy": "samples"})
    made = graph(toy, "    [models.net.outputs.caffe]\n    precision = 'int8'\n", head).actions
    assert [product.action for product in made["//:net#caffe-int8"].products] == ["//:net#caffe"]
    assert "in/calibration/c.npy" in [entry.path for entry in made["//:net#caffe-int8"].inputs]
    assert made["//:net#caffe-int8+measured"].summary == "run //:net#caffe-int8 on OpenCV"
    assert made["//:net@caffe"].options["precision"] == "int8"
    behind = "    [models.net.outputs.chip]\n    via = 'caffe'\n"
    assert (
        "//:net#caffe-int8" not in graph(toy, behind + "    precision = 'int8'\n", head).actions
    )  # it calibrates itself
    with pytest.raises(MegbuildError, match="int8 needs calibration samples"):
        graph(toy, "    [models.net.outputs.caffe]\n    precision = 'int8'\n")
