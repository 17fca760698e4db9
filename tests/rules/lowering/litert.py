"""Runs TFLite files with LiteRT, TFLite's successor: ``litert.py <folder> <answers>``, in the tflite_int8 toolchain.

The folder has a folder for each case, with the arrays of its inputs and results beside the file that was made of it.
The answers are one JSON object: the largest difference of each case, as a part of the largest magnitude, by its name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def main(folder: Path, answers: Path) -> None:
    """Answers for every case that has a TFLite file of the concrete lowering."""
    found = {path.parent.parent.name: error(path) for path in sorted(folder.glob("*/tflite-concrete-/net.tflite"))}
    answers.write_text(json.dumps(found))


def error(path: Path) -> float | str:
    """The error of one file, or what LiteRT said against it."""
    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        with np.load(path.parent.parent / "arrays.npz") as arrays:
            for detail in interpreter.get_input_details():
                interpreter.set_tensor(detail["index"], transposed(arrays[f"in {detail['name']}"], TO_NHWC))
            interpreter.invoke()
            results = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
            return max(
                apart(transposed(interpreter.get_tensor(at), TO_NCHW), arrays[f"out {name}"])
                for name, at in results.items()
            )
    except (RuntimeError, ValueError, KeyError) as problem:
        return f"{type(problem).__name__}: {problem}"


def transposed(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Tensors of four dimensions lie as NHWC in the file."""
    return np.ascontiguousarray(array.transpose(order)) if array.ndim == 4 else array


def apart(given: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a part of the largest magnitude of what is wanted."""
    if given.shape != wanted.shape:
        return 1e30
    difference = np.abs(given.astype("float64") - wanted.astype("float64")).max(initial=0.0)
    return float(difference / (np.abs(wanted.astype("float64")).max(initial=0.0) + 1e-9))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
