"""What a worker's function is given: paths, options, and the declared inputs and results."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Refusal(Exception):
    """Raised by a worker when it will not make the artifact; the message is one clear sentence for the user.

    ``troubles`` lists what stands in the way, where that is in the network: pairs of an operation's qualified name, by
    which megbuild finds the line of the training code, and a sentence.
    """

    def __init__(self, message: str, troubles: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.troubles = tuple(troubles)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.message, "; ".join(text for _, text in self.troubles)) if part)


class NotHere(Exception):
    """Raised by a worker's ``run`` when this machine cannot run the artifact; the message is one clear sentence.

    The artifact stands, and its numbers are reported as "not run", never as passed.
    """


@dataclass(frozen=True)
class Tensor:
    """An input or a result, declared or read back from a file; ``range`` bounds the values of a declared input.

    ``dtype`` is numpy's name of it; a declared result may leave it empty, which takes whatever comes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    range: tuple[float, float] = (-1.0, 1.0)
    layout: str = ""
    """``NHWC`` where a file stores a 4-dimensional tensor in that order; ``shape`` is then the stored one."""


Description = dict[str, list[Tensor]]
"""What a worker's ``describe`` reads back from the produced files: ``inputs`` and ``results``, in the file's order."""


@dataclass(frozen=True)
class Job:
    """One request: ``inputs`` and ``outputs`` are lists of absolute paths by name, ``options`` one attribute an option.

    The artifact that the step before made stands under its format (``job.inputs["onnx"]``), calibration samples under
    ``calibration``, a trained model's weights under ``weights``. ``outputs["artifact"]`` lists the artifact's files in
    the order of the rule's ``files``. ``folder`` is the staged folder.
    """

    function: str
    worker: str
    inputs: dict[str, list[Path]]
    outputs: dict[str, list[Path]]
    options: SimpleNamespace
    declared_inputs: tuple[Tensor, ...]
    declared_results: tuple[Tensor, ...]
    settings: dict[str, Any]
    folder: Path

    def input(self, name: str) -> Path:
        """The one file of an input."""
        (path,) = self.inputs[name]
        return path

    def secret(self, name: str) -> bytes:
        """The key that an option names, once: it does not stay in the environment, which processes inherit."""
        return bytes.fromhex(os.environ.pop(f"MEGBUILD_SECRET_{name}"))

    def output(self, name: str) -> Path:
        """The one file or folder of an output; what it stands in exists already."""
        (path,) = self.outputs[name]
        return path


def read(path: Path) -> Job:
    """The job written in a request file, whose folder is the staged one."""
    request = json.loads(path.read_text(encoding="utf-8"))
    # Absolute, because training code runs in its own folder.
    folder = path.absolute().parent
    return Job(
        function=request["function"],
        worker=request.get("worker", ""),
        inputs={name: [folder / p for p in paths] for name, paths in request["inputs"].items()},
        outputs={name: [folder / p for p in paths] for name, paths in request["outputs"].items()},
        options=SimpleNamespace(**request.get("options", {})),
        declared_inputs=tuple(_tensor(t) for t in request["declared_inputs"]),
        declared_results=tuple(_tensor(t) for t in request["declared_results"]),
        settings=request.get("settings", {}),
        folder=folder,
    )


def _tensor(entry: dict[str, Any]) -> Tensor:
    low, high = entry.get("range", (-1.0, 1.0))
    return Tensor(entry["name"], tuple(entry["shape"]), entry["dtype"], (low, high))
