"""Counts results that TFLite would round to another step than training does: ``rounding.py <repository> <answers>``.

Layers with weights at random, of all kinds of grids. Sums of products next to every half between two results are put
through TFLite's arithmetic, written here once more in whole numbers of Python, and held against fractions.
"""

from __future__ import annotations

import json
import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

CHANNELS = 6


def main(repository: Path, answers: Path) -> None:
    """Answers by layer: how many sums are on another step, with exact integers and with plain ones."""
    code = answers.parent / "code"
    code.mkdir()
    (code / "megbuild_worker").symlink_to(repository / "megbuild/worker")
    sys.path[:0] = [str(code), *(str(repository / "rules/toolchains" / name) for name in ("mgeconvert", "megengine"))]
    from lowering import quantised_steps
    from lowering.grid import Grid

    random, found = np.random.RandomState(5), {}
    for kind in ("ordinary", "relu", "grouped", "linear", "unsigned", "powers of two"):
        inside, kernel, out = (float(np.float32(scale)) for scale in random.uniform(0.01, 0.08, 3))
        if kind == "powers of two":  # sums that are halves themselves
            inside, kernel, out = 2.0**-6, 2.0**-8, 2.0**-7
        results = Grid(out, 100, 0, 255, "quint8") if kind == "unsigned" else Grid(out, 0, -128, 127, "qint8")
        weight = (random.randint(-127, 128, (CHANNELS, 16)) * np.float32(kernel)).astype(np.float32)
        layer = quantised_steps.Layer(
            weight, random.uniform(-1, 1, CHANNELS).astype(np.float32),
            Grid(inside, 0, -128, 127, "qint8"), Grid(kernel, 0, -127, 127, "qint8_narrow"), results, kind == "relu", True,
        )  # fmt: skip
        by_channel, halves_up, factor = kind != "linear", kind != "grouped", layer.finest()
        exact = quantised_steps.exact(layer, factor, by_channel, halves_up)
        found[kind] = {
            "exact": _wrong(layer, exact, factor, by_channel, halves_up),
            "plain": _wrong(layer, quantised_steps.plain(layer), 1, by_channel, halves_up),
        }
    answers.write_text(json.dumps(found, indent=1))


def _wrong(layer: Any, steps: Any, factor: int, by_channel: bool, halves_up: bool) -> int:
    unit, wrong = Fraction(float(layer.unit)), 0
    grid = Fraction(layer.out.scale)
    scale = float(np.float32(np.float32(layer.inside.scale) / np.float32(factor)))
    for channel in range(CHANNELS):
        offset = round(float(layer.bias[channel]) / float(layer.unit))
        product = scale * float(steps.scales[channel])
        product = product if by_channel else float(np.float32(product))
        for result in range(layer.out.low - layer.out.zero_point, layer.out.high - layer.out.zero_point):
            half = math.floor((result + Fraction(1, 2)) * grid / unit) - offset
            for total in (half - 1, half, half + 1):
                as_trained = _nearest((total + offset) * unit / grid)
                given = _requantised(total * factor + int(steps.bias[channel]), product / layer.out.scale, halves_up)
                if layer.relu:
                    as_trained, given = max(as_trained, 0), max(given, 0)
                wrong += as_trained != given
    return wrong


def _nearest(number: Fraction) -> int:
    """Halves go away from zero."""
    size = math.floor(abs(number) + Fraction(1, 2))
    return size if number >= 0 else -size


def _requantised(total: int, multiplier: float, halves_up: bool) -> int:
    """TFLite's MultiplyByQuantizedMultiplier, where halves go away from zero; that of ruy's kernels, where they go up."""
    fraction, exponent = math.frexp(multiplier)
    product = Fraction(math.floor(fraction * 2**31 + 0.5) * (total << max(exponent, 0)), 2**31)
    first = math.floor(product + Fraction(1, 2)) if halves_up else _nearest(product)
    second = Fraction(first, 2 ** max(-exponent, 0))
    return math.floor(second + Fraction(1, 2)) if halves_up else _nearest(second)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
