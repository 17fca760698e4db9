"""Writes the sample files in ``digits/``; run it once more only when the split in ``split.py`` changes.

$ python make_digits.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from split import digits

CALIBRATION = 100


def main() -> None:
    """Held-out digits for the checks, and digits of the training part for the calibration of int8."""
    (images, _), (held_out, labels) = digits()
    folder = Path(__file__).parent / "digits"
    folder.mkdir(exist_ok=True)
    np.save(folder / "heldout.npy", held_out)
    np.save(folder / "heldout-labels.npy", labels)
    np.save(folder / "calibration.npy", images[:CALIBRATION])


if __name__ == "__main__":
    main()
