"""Tensors get the declared names, and nothing else keeps one of them."""

from types import SimpleNamespace

from megbuild.worker import names


def test_others_make_room() -> None:
    tensors = [SimpleNamespace(name=name) for name in ("arg_0", "prob", "prob_1", "out")]
    names.give([tensors[0], tensors[3]], ["image", "prob"], tensors)
    assert [tensor.name for tensor in tensors] == ["image", "prob_2", "prob_1", "prob"]


def test_names_can_be_exchanged() -> None:
    a, b = SimpleNamespace(name="a"), SimpleNamespace(name="b")
    names.give([a, b], ["b", "a"], [a, b])
    assert (a.name, b.name) == ("b", "a")
