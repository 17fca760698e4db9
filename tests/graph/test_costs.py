"""What actions are expected to cost, and the order that follows."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as some

from megbuild.graph.actions import Action, Product
from megbuild.graph.costs import NOTHING, UNKNOWN, Cost, costs, urgency


def action(id: str, *needs: str, step: str = "mge", toolchain: str = "megengine") -> Action:
    products = tuple(Product(f"in/{need}", need, "artifact") for need in needs)
    return Action(id, step, "", "//:net", toolchain, products, ("artifact",))


def test_as_in_the_past_else_like_its_step_else_unknown() -> None:
    actions = {a.id: a for a in (action("a"), action("b"), action("new"), action("other", step="onnx"))}
    past = {"a": Cost(2.0, 100), "b": Cost(4.0, 300)}
    assert costs(actions, past.get) == {**past, "new": Cost(3.0, 300), "other": UNKNOWN}


def test_a_step_of_the_core_costs_nothing() -> None:
    assert costs({"verdict": action("verdict", toolchain="")}, lambda id: None) == {"verdict": NOTHING}


def test_the_longest_way_counts() -> None:
    actions = {a.id: a for a in (action("tm"), action("short", "tm"), action("long", "tm"), action("end", "long"))}
    seconds = {"tm": 1.0, "short": 5.0, "long": 2.0, "end": 4.0}
    found = urgency(actions, {id: Cost(s, 0) for id, s in seconds.items()})
    assert found == {"tm": 7.0, "short": 5.0, "long": 6.0, "end": 4.0}


@given(some.lists(some.tuples(some.floats(0, 1e3), some.sets(some.integers(0, 20), max_size=3)), max_size=20))
def test_what_is_needed_is_never_less_urgent_and_what_takes_no_time_comes_first(
    drawn: list[tuple[float, set[int]]],
) -> None:
    graph = [action(str(n), *sorted(str(m) for m in needs if m < n)) for n, (_, needs) in enumerate(drawn)]
    found = urgency({a.id: a for a in graph}, {str(n): Cost(s, 0) for n, (s, _) in enumerate(drawn)})
    for one in graph:
        if drawn[int(one.id)][0]:
            assert all(found[product.action] >= found[one.id] for product in one.products)
        else:
            assert found[one.id] == inf
