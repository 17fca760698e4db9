"""Writes ``samples/images.npy``, and beside it what is to be found in them; run it again only when ``images.py`` changes.

$ python make_samples.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from images import draw


def main() -> None:
    """Images with a seed that training does not use."""
    images, truth = draw(np.random.RandomState(1000), 24)
    np.save(Path(__file__).parent / "samples" / "images.npy", images)
    np.save(Path(__file__).parent / "truth.npy", truth)


if __name__ == "__main__":
    main()
