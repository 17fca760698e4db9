"""Formats that know their inputs and results by numbers only: the names stand beside the artifact, in that order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import stable
from .samples import Feed

FILE = "tensors.json"
Names = dict[str, Any]
"""``inputs`` and ``results``: names in the order of their numbers; a rule may add what it reads back with."""


def of_onnx(path: Path) -> Names:
    """The names of an ONNX file in its order, without those of constants. For toolchains with the package onnx."""
    import onnx  # type: ignore[import-not-found, unused-ignore]

    graph: Any = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    return {"inputs": inputs, "results": [value.name for value in graph.output]}


def write(artifact: Path, names: Names) -> None:
    """Puts the names beside the artifact."""
    stable.write_json(artifact.with_name(FILE), names)


def read(artifact: Path) -> Names:
    """The names beside the artifact."""
    names: Names = json.loads(Path(artifact).with_name(FILE).read_text(encoding="utf-8"))
    return names


def simulated(simulator: Any, tensor: Callable[[Any], Any], names: Names, feeds: Iterable[Feed]) -> Iterator[Feed]:
    """The results of every sample in a simulator of nncase; ``tensor`` makes one of its tensors of an array."""
    for feed in feeds:
        for number, name in enumerate(names["inputs"]):
            simulator.set_input_tensor(number, tensor(np.ascontiguousarray(feed[name])))
        simulator.run()
        yield {
            name: simulator.get_output_tensor(number).to_numpy().copy() for number, name in enumerate(names["results"])
        }
