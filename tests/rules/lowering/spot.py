"""Whether a convolution's result is told from that of another one: ``spot.py <repository>``, an error where it is not."""

from __future__ import annotations

import sys
from pathlib import Path


def main(repository: Path) -> None:
    """Right sizes and weights are taken, any that is wrong is not."""
    here = Path.cwd()
    (here / "code").mkdir()
    (here / "code/megbuild_worker").symlink_to(repository / "megbuild/worker")
    sys.path[:0] = [
        str(here / "code"),
        *(str(repository / "rules/toolchains" / name) for name in ("mgeconvert", "megengine")),
    ]
    import mgeconvert_compat

    mgeconvert_compat.apply()
    import numpy as np
    from megengine import Tensor

    from lowering import arithmetic

    source = np.random.RandomState(4)

    def draw(*shape: int) -> np.ndarray:
        return source.standard_normal(shape).astype("float32")

    x, weight, bias = Tensor(draw(2, 8, 11, 13)), draw(6, 4, 3, 3), draw(6)
    right = (weight, bias, (2, 1), (2, 1), (2, 1), 2)
    answer = arithmetic.convolution(x, *right)
    assert arithmetic._is_convolution(answer, x, *right)
    swapped = np.concatenate([weight[3:], weight[:3]])
    for place, wrong in enumerate((swapped, None, (2, 2), (1, 1), (1, 1))):
        sizes = [*right[:place], wrong, *right[place + 1 :]]
        assert not arithmetic._is_convolution(answer, x, *sizes), (place, wrong)
    shifted = (weight, bias, (1, 1), (1, 1), (1, 1), 2)
    other = arithmetic.convolution(x, weight, bias, (1, 1), (2, 2), (2, 2), 2)  # of the same shape
    assert other.shape == arithmetic.convolution(x, *shifted).shape
    assert not arithmetic._is_convolution(other, x, *shifted)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
