"""Roads: the shortest one, the same one in every order of the rules, or none."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from megbuild.declare.models import InstalledRule
from megbuild.graph import routes
from megbuild.rule import Rule

FORMATS = "abcdef"
Edges = list[tuple[str, str, bool]]


def installed(edges: Edges) -> list[InstalledRule]:
    return [
        InstalledRule(f"r{number}", Rule(a, b, (f".{b}",), "toy", direct=direct), f"/rules/r{number}")
        for number, (a, b, direct) in enumerate(edges)
    ]


edges_of_a_graph = st.lists(st.tuples(st.sampled_from(FORMATS), st.sampled_from(FORMATS), st.booleans()), max_size=12)


def fewest_steps(edges: Edges, start: str, goal: str, direct: bool) -> int | None:
    """By brute force: all nodes at a distance, step by step."""
    reached = {start}
    for steps in itertools.count():
        if goal in reached:
            return steps
        more = reached | {b for a, b, d in edges if a in reached and (direct or not d)}
        if more == reached:
            return None
        reached = more
    raise AssertionError


@given(edges_of_a_graph, st.sampled_from(FORMATS), st.sampled_from(FORMATS), st.booleans(), st.randoms())
def test_a_road_is_connected_shortest_and_the_same_in_every_order(
    edges: Edges, start: str, goal: str, direct: bool, random: st.DataObject
) -> None:
    rules = installed(edges)
    road = routes.shortest(rules, start, goal, direct=direct)
    shuffled = list(rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert routes.shortest(shuffled, start, goal, direct=direct) == road
    assert (None if road is None else len(road)) == fewest_steps(edges, start, goal, direct)
    if road is None:
        assert goal not in routes.reachable(rules, start, direct=direct)
        return
    at = start
    for edge in road:
        assert at in edge.rule.sources
        assert direct or not edge.rule.direct
        at = edge.rule.produces
    assert at == goal
    assert not road or goal == start or goal in routes.reachable(rules, start, direct=direct)


@given(edges_of_a_graph, st.lists(st.sampled_from(FORMATS), max_size=3))
def test_via_goes_through_each_in_order(edges: Edges, via: list[str]) -> None:
    road = routes.shortest(installed(edges), "a", "f", via)
    if road is not None:
        passed = iter(["a", *(edge.rule.produces for edge in road)])
        assert all(stop in passed or stop == "a" for stop in [*dict.fromkeys(via), "f"][:1])
        assert road == tuple(
            edge
            for here, there in itertools.pairwise(["a", *via, "f"])
            for edge in routes.shortest(installed(edges), here, there) or ()
        )


def test_equally_long_roads_are_told_apart_by_names() -> None:
    rules = installed([("a", "c", False), ("a", "b", False), ("b", "d", False), ("c", "d", False)])
    assert [edge.name for edge in routes.shortest(rules, "a", "d") or ()] == ["r0", "r3"]


def test_no_step_is_needed_to_stand_still() -> None:
    assert routes.shortest([], "a", "a") == ()
    assert routes.shortest([], "a", "b") is None


def test_the_picture() -> None:
    rules = [
        InstalledRule("npu", Rule(("onnx", "caffe"), "npu", (".npu",), "toy"), "/"),
        InstalledRule("mge", Rule("tm", "mge", (".mge",), "toy", direct=True), "/"),
    ]
    assert routes.mermaid(rules) == "graph LR\n  tm -. mge .-> mge\n  onnx -- npu --> npu\n  caffe -- npu --> npu"


def test_what_requires_options_of_its_source_does_not_take_a_delivered_one() -> None:
    """It is made again, to the rule's wish; only ``direct`` takes it as it is."""
    rules = [
        InstalledRule("import", Rule("onnx", "tm", (".tm",), "toy"), "/"),
        InstalledRule("onnx", Rule("tm", "onnx", (".onnx",), "toy"), "/"),
        InstalledRule("npu", Rule("onnx", "npu", (".npu",), "toy", requires={"onnx": {"opset": 12}}), "/"),
        InstalledRule("zip", Rule("onnx", "zip", (".zip",), "toy"), "/"),
    ]

    def road(start: str, goal: str, **asked: bool) -> list[str] | None:
        found = routes.shortest(rules, start, goal, **asked)
        return None if found is None else [rule.name for rule in found]

    assert road("onnx", "npu") == ["import", "onnx", "npu"]
    assert road("onnx", "npu", direct=True) == ["npu"]
    assert road("onnx", "zip") == ["zip"]
    assert road("onnx", "onnx") == []
    assert road("tm", "npu") == ["onnx", "npu"]
    assert routes.shortest(rules[1:], "onnx", "npu") is None


def test_the_format_that_a_rule_names_first() -> None:
    """Of two equally long roads into one rule; the names of the rules on the way do not matter, a shorter road does."""
    made = [
        InstalledRule("caffe", Rule("tm", "caffe", (".c",), "toy"), "/rules/caffe"),
        InstalledRule("onnx", Rule("tm", "onnx", (".o",), "toy"), "/rules/onnx"),
        InstalledRule("chip", Rule(("onnx", "caffe"), "chip", (".chip",), "toy"), "/rules/chip"),
    ]
    for rules in itertools.permutations(made):
        road = routes.shortest(rules, "tm", "chip")
        assert [rule.name for rule in road or ()] == ["onnx", "chip"]
        road = routes.shortest(rules, "tm", "chip", ["caffe"])
        assert [rule.name for rule in road or ()] == ["caffe", "chip"]
    longer = InstalledRule("onnx", Rule("raw", "onnx", (".o",), "toy"), "/rules/onnx")
    raw = InstalledRule("raw", Rule("tm", "raw", (".r",), "toy"), "/rules/raw")
    road = routes.shortest([made[0], longer, raw, made[2]], "tm", "chip")
    assert [rule.name for rule in road or ()] == ["caffe", "chip"]


def test_a_rule_that_refines_a_format_is_on_no_road_by_itself() -> None:
    """It goes in behind what makes its format, the last time, and behind the start where nothing makes it."""
    rules = [
        InstalledRule("int8", Rule("onnx", "onnx", (".o",), "toy"), "/"),
        InstalledRule("onnx", Rule("tm", "onnx", (".o",), "toy"), "/"),
        InstalledRule("import", Rule("onnx", "tm", (".tm",), "toy"), "/"),
        InstalledRule("chip", Rule("onnx", "chip", (".chip",), "toy"), "/"),
    ]

    def names(road: routes.Road | None) -> list[str]:
        return [rule.name for rule in road or ()]

    road = routes.shortest(rules, "tm", "chip") or ()
    assert names(road) == ["onnx", "chip"]
    assert names(routes.refinements(rules, "tm", road)) == ["int8"]
    assert routes.refined(rules, "tm", road, lambda rule: False) == road
    assert names(routes.refined(rules, "tm", road, lambda rule: True)) == ["onnx", "int8", "chip"]
    assert names(routes.refined(rules, "onnx", (), lambda rule: True)) == ["int8"]
    around = (rules[2], rules[1])
    assert names(routes.refined(rules, "onnx", around, lambda rule: True)) == ["import", "onnx", "int8"]
    assert routes.refinements(rules, "tm", ()) == ()


def test_what_wraps_an_artifact_is_taken_only_where_it_is_asked_for() -> None:
    """Else a delivered ONNX file might go through the blob of a chip to the format that the .tm leads to."""
    rules = [
        InstalledRule("a_chip", Rule("onnx", "om", (".om",), "toy"), "/"),
        InstalledRule("embed", Rule("om", "mge", (".mge",), "toy", embeds=True), "/"),
        InstalledRule("import", Rule("onnx", "tm", (".tm",), "toy"), "/"),
        InstalledRule("mge", Rule("tm", "mge", (".mge",), "toy"), "/"),
    ]

    def road(goal: str, embed: str = "") -> list[str] | None:
        found = routes.shortest(rules, "onnx", goal, embed=embed)
        return None if found is None else [rule.name for rule in found]

    assert road("mge") == ["import", "mge"]
    assert road("om", embed="mge") == ["a_chip", "embed"]
    assert road("mge", embed="om") is None
    assert routes.reachable(rules[:2], "onnx") == ("om",)
    assert "  om -. embed .-> mge" in routes.mermaid(rules)
