"""Labels and patterns: what they mean, what they say when they mean nothing, and that junk never gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbuild.declare.labels import Label, Pattern, select
from megbuild.declare.models import Model, Output
from megbuild.errors import Location, MegbuildError

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,8}", fullmatch=True)
packages = st.lists(names, max_size=3).map("/".join)


def model(label: str, *outputs: str) -> Model:
    parsed = Label.parse(label)
    return Model(parsed.package, parsed.model, (), (), tuple(Output(name, name) for name in outputs))


MODELS = (
    model("//:top", "x86"),
    model("//vision:resnet18", "server", "phone", "rk3588"),
    model("//vision:lenet", "server"),
    model("//vision/detect:yolo", "server", "rk3588"),
    model("//visionary:net", "rk3588"),
)


def selected(*patterns: str, here: str = "") -> list[str]:
    return [str(Label(m.package, m.name, o.name)) for m, o in select(patterns, MODELS, here)]


def problem(*patterns: str, here: str = "") -> str:
    with pytest.raises(MegbuildError) as raised:
        select(patterns, MODELS, here)
    return str(raised.value)


@given(packages, names, st.one_of(st.just(""), names))
def test_a_label_reads_back_as_it_is_written(package: str, name: str, output: str) -> None:
    label = Label(package, name, output)
    assert Label.parse(str(label)) == label
    assert Pattern.parse(str(label), here="some/where").matches(label)


@given(packages, st.booleans(), st.one_of(st.just(""), names), st.one_of(st.just(""), names))
def test_a_pattern_reads_back_as_it_is_written(package: str, below: bool, name: str, output: str) -> None:
    pattern = Pattern(package, below, name, output)
    assert Pattern.parse(str(pattern)) == pattern


@given(st.text(), packages)
def test_junk_is_a_pattern_or_a_problem(text: str, here: str) -> None:
    try:
        pattern = Pattern.parse(text, here)
    except MegbuildError as error:
        assert [problem.code for problem in error.problems] == ["MB122"]
        assert "\n" not in error.problems[0].message
    else:
        assert Pattern.parse(str(pattern)) == pattern


@given(st.text(alphabet="/.:@ab*=", max_size=12), packages)
def test_what_looks_like_a_label_selects_or_tells(text: str, here: str) -> None:
    try:
        assert select([text], MODELS, here)
    except MegbuildError as error:
        assert {problem.code for problem in error.problems} <= {"MB122", "MB123"}


@pytest.mark.parametrize(
    ("pattern", "here", "meant"),
    [
        ("//vision:resnet18@rk3588", "", ["//vision:resnet18@rk3588"]),
        ("//vision:lenet", "", ["//vision:lenet@server"]),
        ("//:top", "vision", ["//:top@x86"]),
        ("//", "vision", ["//:top@x86"]),
        ("//vision/detect", "", ["//vision/detect:yolo@server", "//vision/detect:yolo@rk3588"]),
        ("//...@x86", "vision", ["//:top@x86"]),
        ("//vision/...@rk3588", "", ["//vision:resnet18@rk3588", "//vision/detect:yolo@rk3588"]),
        ("//vision@rk3588", "", ["//vision:resnet18@rk3588"]),
        ("//...:yolo@server", "", ["//vision/detect:yolo@server"]),
        (":resnet18@phone", "vision", ["//vision:resnet18@phone"]),
        (":lenet", "vision", ["//vision:lenet@server"]),
        ("@rk3588", "vision", ["//vision:resnet18@rk3588"]),
        ("detect:yolo@server", "vision", ["//vision/detect:yolo@server"]),
        ("detect/", "vision", ["//vision/detect:yolo@server", "//vision/detect:yolo@rk3588"]),
        ("./...@rk3588", "vision", ["//vision:resnet18@rk3588", "//vision/detect:yolo@rk3588"]),
        ("../visionary", "vision", ["//visionary:net@rk3588"]),
        (".", "visionary", ["//visionary:net@rk3588"]),
    ],
)
def test_a_pattern_means(pattern: str, here: str, meant: list[str]) -> None:
    assert selected(pattern, here=here) == meant


def test_the_dots_take_everything_below_and_no_neighbour() -> None:
    assert len(selected("//...")) == 8
    assert selected("//vision/...") == selected("...", here="vision")
    assert not any("visionary" in label for label in selected("//vision/..."))


def test_outputs_come_once_in_the_order_of_their_declaration() -> None:
    assert selected("//vision:resnet18@rk3588", "//:top", "//vision:resnet18@rk3588", "//vision:resnet18@server") == [
        "//:top@x86",
        "//vision:resnet18@server",
        "//vision:resnet18@rk3588",
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (
            "//vision:resnet18@rk3589",
            "//vision:resnet18@rk3589: no output is named rk3589 in //vision:resnet18 [MB123]\n"
            "  hint: did you mean //vision:resnet18@rk3588?",
        ),
        (
            "//vision:lenet@zzz",
            "//vision:lenet@zzz: no output is named zzz in //vision:lenet [MB123]\n  hint: use one of server",
        ),
        (
            "//...@rk3589",
            "//...@rk3589: no output is named rk3589 in //... [MB123]\n  hint: did you mean //...@rk3588?",
        ),
        (
            "//vision:resnet81@phone",
            "//vision:resnet81@phone: no model is named resnet81 in //vision [MB123]\n"
            "  hint: did you mean //vision:resnet18@phone?",
        ),
        (
            "//vision:yolo",
            "//vision:yolo: no model is named yolo in //vision [MB123]\n  hint: did you mean //vision/detect:yolo?",
        ),
        (
            "//vison/...@phone",
            "//vison/...@phone: no model is declared in //vison/... [MB123]\n  hint: did you mean //vision/...@phone?",
        ),
        (
            "//vision/resnet18",
            "//vision/resnet18: no model is declared in //vision/resnet18 [MB123]\n"
            "  hint: a model is written after a colon: :resnet18",
        ),
        (
            "//speech",
            "//speech: no model is declared in //speech [MB123]\n  hint: see what there is: doit list",
        ),
        (
            "",
            'label "" is empty [MB122]\n'
            "  hint: write //package:model@output, //package:model, //package or //package/...",
        ),
        (
            "//a b:c",
            'label "//a b:c" has a bad name for its folder [MB122]\n'
            "  hint: write //package:model@output, //package:model, //package or //package/...; "
            "names are made of at most 100 letters, digits, _, - and ., and start with a letter, a digit or _",
        ),
        (
            "/home/me/vision",
            'label "/home/me/vision" is a path of the machine [MB122]\n'
            "  hint: write //package:model@output, //package:model, //package or //package/...",
        ),
        (
            "../..",
            'label "../.." leaves the workspace [MB122]\n'
            "  hint: write //package:model@output, //package:model, //package or //package/...",
        ),
    ],
)
def test_a_pattern_that_means_nothing_says_what_would(pattern: str, said: str) -> None:
    assert problem(pattern) == said


def test_all_bad_patterns_are_told_together() -> None:
    assert problem("//a:b", "//:top", "x=y").count("[MB12") == 2


def test_a_pattern_from_a_file_points_into_it() -> None:
    with pytest.raises(MegbuildError) as raised:
        select(["//nothing"], MODELS, where=Location("pyproject.toml", 2, 12))
    assert str(raised.value).startswith("pyproject.toml:2:12: //nothing: ")


def test_an_empty_workspace_says_so() -> None:
    with pytest.raises(MegbuildError, match="no model is declared in this workspace"):
        select(["//..."], ())


@pytest.mark.parametrize("text", ["//...", "//vision", ":resnet18", "vision:resnet18", "//vision/...:net"])
def test_only_a_full_label_is_a_label(text: str) -> None:
    with pytest.raises(MegbuildError, match="MB122"):
        Label.parse(text)
