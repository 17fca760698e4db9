"""Formats that know their inputs and results by numbers only: the names stand beside the artifact, in that order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import stable

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
