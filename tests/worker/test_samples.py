"""Sample files become feeds of exactly the declared shape and type, or a refusal that says what is wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbuild.worker import samples
from megbuild.worker.job import Refusal, Tensor

IMAGE = Tensor("image", (1, 3, 4, 4), "float32", (0.0, 1.0))
MASK = Tensor("mask", (1, 2), "int32", (0, 9))


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize(("shape", "count"), [((1, 3, 4, 4), 1), ((5, 1, 3, 4, 4), 5), ((5, 3, 4, 4), 5)])
def test_one_sample_or_many(tmp_path: Path, shape: tuple[int, ...], count: int) -> None:
    array = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    feeds = list(samples.feeds([IMAGE], [save(tmp_path / "a.npy", array)]))
    assert len(feeds) == count
    assert all(feed["image"].shape == IMAGE.shape for feed in feeds)
    assert np.array_equal(np.concatenate([feed["image"].ravel() for feed in feeds]), array.ravel())


def test_a_batch_of_the_declared_size_is_one_sample(tmp_path: Path) -> None:
    batch = Tensor("x", (2, 3), "float32")
    assert len(list(samples.feeds([batch], [save(tmp_path / "a.npy", np.zeros((2, 3)))]))) == 1
    assert len(list(samples.feeds([batch], [save(tmp_path / "a.npy", np.zeros((4, 2, 3)))]))) == 4
    with pytest.raises(Refusal, match=r"a.npy has the shape \[4, 3\]"):
        list(samples.feeds([batch], [save(tmp_path / "a.npy", np.zeros((4, 3)))]))


def test_files_keep_the_order_that_they_are_given_in(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.npy", np.full((1, 3, 4, 4), n)) for n in (2, 10, 1)]
    assert [feed["image"].flat[0] for feed in samples.feeds([IMAGE], files)] == [2, 10, 1]


def test_several_inputs_come_from_npz_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, mask=np.array([[1, 2], [3, 4]]), image=np.zeros((2, 3, 4, 4)), other=np.zeros(1))
    feeds = list(samples.feeds([IMAGE, MASK], [path]))
    assert [feed["mask"].tolist() for feed in feeds] == [[[1, 2]], [[3, 4]]]
    assert feeds[0]["image"].dtype == np.float32
    assert feeds[0]["mask"].dtype == np.int32


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"image": np.zeros((2, 3, 4, 4))}, "no array named mask"),
        (
            {"image": np.zeros((2, 3, 4, 4)), "mask": np.zeros((3, 2))},
            "unequal numbers of samples: 2 of image, 3 of mask",
        ),
        ({"image": np.zeros((1, 3, 4, 4)), "mask": np.array([[0.5, 1]])}, 'input "mask" of int32 cannot hold'),
        ({"image": np.zeros((1, 3, 4, 4)), "mask": np.array([[1 << 40, 1]])}, 'input "mask" of int32 cannot hold'),
    ],
)
def test_refusals_name_file_and_input(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(Refusal, match=said):
        list(samples.feeds([IMAGE, MASK], [tmp_path / "a.npz"]))


def test_one_array_does_not_serve_two_inputs(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"use \.npz"):
        list(samples.feeds([IMAGE, MASK], [save(tmp_path / "a.npy", np.zeros((1, 2)))]))


def test_pickles_in_sample_files_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(Refusal, match=r"a\.npy cannot be read"):
        list(samples.feeds([IMAGE], [tmp_path / "a.npy"]))


@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(1, 1e6),
    dtype=st.sampled_from(["float32", "float64", "float16", "uint8", "int8", "int32", "bool"]),
)
def test_synthetic_samples_lie_in_the_range_and_repeat(low: float, width: float, dtype: str) -> None:
    tensor = Tensor("x", (2, 3), dtype, (low, low + width))
    try:
        array = samples.synthetic([tensor])["x"]
    except Refusal:
        assert np.dtype(dtype).kind in "iu"
        return
    assert array.shape == tensor.shape
    assert array.dtype == dtype
    assert np.array_equal(array, samples.synthetic([tensor])["x"])
    if dtype in ("float64", "uint8", "int8", "int32"):
        assert low <= array.min() and array.max() <= low + width


def test_synthetic_values_never_change() -> None:
    # These values are part of what every synthetic measurement means.
    assert samples.synthetic([Tensor("x", (3,), "float32", (0.0, 1.0))])["x"].tolist() == pytest.approx(
        [0.54881352, 0.71518934, 0.60276335]
    )
    assert samples.synthetic([Tensor("x", (4,), "int32", (0, 9))])["x"].tolist() == [5, 0, 3, 3]
