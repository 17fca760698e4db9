"""Declared inputs that nobody reads: over all actions of a model, entry by entry."""

from __future__ import annotations

from megbuild.declare.inputs import Declared
from megbuild.declare.models import Model
from megbuild.errors import Location
from megbuild.graph.actions import Action, Leaf
from megbuild.graph.unread import unknown_problems, unread
from megbuild.store.digests import digest_bytes

MODEL = Model("v", "net", (), (), (), where=Location("v/MODELS.toml", 2, 1))
NOTHING = digest_bytes(b"")


def action(name: str, *paths: str, code: str = "", makes: str = "", model: str = "//v:net") -> Action:
    leaves = [Leaf(path, NOTHING, path) for path in paths]
    leaves += [Leaf(f"in/source/{code}", NOTHING, code, content=b"", seen="x")] if code else []
    return Action(f"{model}#{name}", name, "", model, "toy", tuple(leaves), (), makes=makes)


TRAIN = action("weights", "in/source/v/a.csv", "in/source/v/b.csv", code="v/net.py", makes="weights")
TRACE = action("tm", "in/source/v/a.csv", "in/source/v/b.csv", code="v/net.py", makes="tm")
MEASURE = action("mge+measured", "in/samples/v/a.csv", "in/labels.npy")
ALL = (TRAIN, TRACE, MEASURE)


def entry(key: str, *paths: str) -> Declared:
    return Declared(key, "*.csv", paths, Location("v/MODELS.toml", 4, 8))


def found(
    *entries: Declared, told: dict[str, tuple[str, ...] | None], whole: bool = True
) -> tuple[list[str], list[str]]:
    known = {one.id: told.get(one.step, ()) for one in ALL}
    problems, unknown = unread(MODEL, entries, ALL, lambda id: known[id], whole=whole)
    return [str(problem).partition("\n")[0] for problem in problems], list(unknown)


def test_what_one_of_the_actions_reads_is_read() -> None:
    left = ("in/source/v/a.csv", "in/source/v/b.csv", "in/source/v/net.py")
    assert found(entry("data", "v/a.csv"), told={"weights": left}) == ([], [])
    assert found(entry("data", "v/a.csv"), told={"weights": left, "tm": left})[0] == [
        'v/MODELS.toml:4:8: data "*.csv" of //v:net: it is never read [MB416]',
        "v/MODELS.toml:2:1: v/net.py, which the code of //v:net imports, is never read [MB416]",
    ]


def test_of_a_pattern_one_file_is_enough() -> None:
    both = entry("data", "v/a.csv", "v/b.csv")
    assert found(both, told={"weights": ("in/source/v/a.csv", "in/source/v/b.csv"), "tm": ("in/source/v/b.csv",)}) == (
        [],
        [],
    )
    all_left = ("in/source/v/a.csv", "in/source/v/b.csv")
    assert found(both, told={"weights": all_left, "tm": all_left})[0] == [
        'v/MODELS.toml:4:8: data "*.csv" of //v:net: none of its 2 files is ever read [MB416]'
    ]


def test_the_same_file_under_two_keys_is_two_inputs() -> None:
    assert found(entry("samples", "v/a.csv"), told={"mge+measured": ("in/samples/v/a.csv",)})[0] == [
        'v/MODELS.toml:4:8: samples "*.csv" of //v:net: it is never read [MB416]'
    ]
    assert found(entry("labels", "v/other.npy"), told={"mge+measured": ("in/labels.npy",)})[0]


def test_what_no_action_takes_is_told_of_the_whole_model_only() -> None:
    calibration = entry("calibration", "v/a.csv")
    assert found(calibration, told={})[0] == [
        'v/MODELS.toml:4:8: calibration "*.csv" of //v:net: no output of it needs this [MB416]'
    ]
    assert found(calibration, told={}, whole=False) == ([], [])


def test_what_is_not_known_is_not_judged() -> None:
    data = entry("data", "v/a.csv")
    left = ("in/source/v/a.csv",)
    assert found(data, told={"weights": left, "tm": None}) == ([], ["//v:net#tm"])
    assert found(data, told={"weights": (), "tm": None}) == ([], [])  # one that is known has read it
    said = [str(problem) for problem in unknown_problems(["//v:net#tm", "//v:net#mge"], ["//v:net#tm"], "//v:net")]
    assert said == [
        "what //v:net#tm reads is not known: it is not up to date [MB417]\n  hint: doit build //v:net",
        "what //v:net#mge reads is not known: nobody watched when its result was made [MB417]"
        "\n  hint: doit forget //v:net, then doit build //v:net",
    ]


def test_actions_of_other_models_do_not_count() -> None:
    """A model may take the product of another one."""
    other = action("tm", "in/source/v/c.csv", model="//v:other")
    problems, unknown = unread(MODEL, [entry("data", "v/c.csv")], [other], lambda id: (), whole=True)
    assert [problem.code for problem in problems] == ["MB416"] and not unknown
