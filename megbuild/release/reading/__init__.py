"""Artifacts as lines of text, by the standard library alone: for lists of operators and for telling differences.

A reader makes no claim to be complete: two files that differ may give the same lines, and then the bytes are told.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from megbuild.release.reading import npy, onnx, tflite, tm


def lines(name: str, content: bytes) -> list[str] | None:
    """What a file holds, one line a part, by the suffix of its name; None where there is no reader or it fails."""
    reader = _READERS.get(PurePosixPath(name).suffix)
    if reader is None:
        return None
    try:
        return list(reader(content))
    except Exception:  # a file of another making, or damaged: its bytes are compared then
        return None


def operators(name: str, content: bytes) -> dict[str, int] | None:
    """How often each operator occurs; None for a format whose operators cannot be listed."""
    counter = _COUNTERS.get(PurePosixPath(name).suffix)
    if counter is None:
        return None
    try:
        return dict(sorted(Counter(counter(content)).items()))
    except Exception:
        return None


def _json(content: bytes) -> Iterator[str]:
    yield from _paths("$", json.loads(content))


def _paths(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _paths(f"{path}.{key}", inner)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _paths(f"{path}[{number}]", inner)
    else:
        yield f"{path} = {json.dumps(value)}"


def _text(content: bytes) -> Iterator[str]:
    yield from content.decode("utf-8").splitlines()


def _caffe_layers(content: bytes) -> Iterator[str]:
    yield from re.findall(r'^\s*type:\s*"([^"]+)"', content.decode("utf-8"), re.MULTILINE)


_READERS: Mapping[str, Callable[[bytes], Iterator[str]]] = {
    ".onnx": onnx.lines,
    ".tflite": tflite.lines,
    ".tm": tm.lines,
    ".npy": npy.lines,
    ".json": _json,
    ".prototxt": _text,
    ".txt": _text,
}
_COUNTERS: Mapping[str, Callable[[bytes], Iterator[str]]] = {
    ".onnx": onnx.operators,
    ".tflite": tflite.operators,
    ".tm": tm.operators,
    ".prototxt": _caffe_layers,
}
