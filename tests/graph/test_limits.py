"""Limits: the nearest table that says a value wins, and no key knows of them."""

from __future__ import annotations

import pytest

from megbuild.declare.limits import Limits
from megbuild.errors import MegbuildError
from megbuild.execute.local import limits_of
from tests.conftest import Toy


def test_the_nearest_value_wins(toy: Toy) -> None:
    before = {id: action.limits for id, action in toy.prepare().graph.actions.items()}
    assert set(before.values()) == {Limits()}
    builtin = toy.root.parent / "builtin/toolchains/convert/toolchain.toml"
    builtin.write_text('python = "3.9"\n[limits]\nseconds = 5\nmemory_mb = 100\nprint_mb = 7\n')
    text = (toy.root / "MODELS.toml").read_text()
    text = text.replace(
        'source = "net.py:build"', 'source = "net.py:build"\nlimits = { memory_mb = 300, train_seconds = 9 }'
    )
    (toy.root / "MODELS.toml").write_text(text + "\n[defaults]\nlimits = { memory_mb = 200, processes = 64 }\n")
    actions = toy.prepare().graph.actions
    assert actions["//:net#onnx"].limits == Limits(seconds=5, train_seconds=9, memory_mb=300, processes=64, print_mb=7)
    assert actions["//:net#tm"].limits == Limits(train_seconds=9, memory_mb=300, processes=64)
    known = limits_of(actions["//:net#weights"])
    assert (known.seconds, known.memory, known.processes, known.output) == (9, 300_000_000, 64, 32 << 30)
    assert limits_of(actions["//:net#onnx"]).seconds == 5


def test_changed_limits_make_nothing_again(toy: Toy) -> None:
    toy.build()
    text = (toy.root / "MODELS.toml").read_text()
    (toy.root / "MODELS.toml").write_text(text + "\n[defaults]\nlimits = { seconds = 10 }\n")
    toy.build()
    assert toy.ran == []


@pytest.mark.parametrize(
    "limits", ["{ seconds = 0 }", "{ memory = 1 }", "{ processes = 1.5 }", "3", "{ output_mb = 'x' }"]
)
def test_limits_that_are_none(toy: Toy, limits: str) -> None:
    text = (toy.root / "MODELS.toml").read_text()
    (toy.root / "MODELS.toml").write_text(text + f"\n[defaults]\nlimits = {limits}\n")
    with pytest.raises(MegbuildError, match=r"MODELS.toml:\d+.*MB10[45]"):
        toy.prepare()
