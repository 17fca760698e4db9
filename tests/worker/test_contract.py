"""Differences between a produced file and the declaration are named, all of them at once."""

import pytest

from megbuild.worker import contract
from megbuild.worker.job import Refusal, Tensor

IMAGE = Tensor("image", (1, 3, 8, 6), "float32")
PROB = Tensor("prob", (1, 10), "float32")


def check(inputs: list[Tensor], results: list[Tensor]) -> None:
    contract.check({"inputs": inputs, "results": results}, [IMAGE], [PROB], "a.bin")


def test_equal_passes() -> None:
    check([IMAGE], [PROB])


def test_a_stored_layout_is_compared_in_the_declared_order() -> None:
    check([Tensor("image", (1, 8, 6, 3), "float32", layout="NHWC")], [PROB])
    with pytest.raises(Refusal, match=r'input "image" is float32 \[1, 3, 6, 8\], declared float32 \[1, 3, 8, 6\]'):
        check([Tensor("image", (1, 6, 8, 3), "float32", layout="NHWC")], [PROB])


def test_an_undeclared_type_takes_what_comes() -> None:
    contract.check(
        {"inputs": [], "results": [Tensor("prob", (1, 10), "float16")]}, [], [Tensor("prob", (1, 10), "")], "a.bin"
    )


def test_every_difference_is_named() -> None:
    with pytest.raises(Refusal) as refusal:
        check([Tensor("data", (1, 3, 8, 6), "float32")], [Tensor("prob", (1, 10), "float16")])
    assert str(refusal.value) == (
        'a.bin is not what the model declares: input "data" is not declared; input "image" is missing; '
        'result "prob" is float16 [1, 10], declared float32 [1, 10]'
    )


def test_the_record_keeps_the_file_s_order_and_says_the_layout() -> None:
    stored = Tensor("image", (1, 8, 6, 3), "float32", layout="NHWC")
    assert contract.record({"inputs": [stored], "results": [PROB]}) == {
        "inputs": [{"name": "image", "shape": [1, 8, 6, 3], "dtype": "float32", "layout": "NHWC"}],
        "results": [{"name": "prob", "shape": [1, 10], "dtype": "float32"}],
    }
