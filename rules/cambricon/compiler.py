"""What ``compile.json`` in the current folder asks for, done by MagicMind; a refusal goes to ``refused.txt``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Refused(Exception):
    """A call of MagicMind's that did not return a good status; the message says which and what it said."""


def compiled(request: dict[str, Any]) -> None:
    """Parses, configures, builds and writes. MagicMind raises nothing: every status is looked at."""
    from magicmind.python.runtime import Builder, BuilderConfig, ModelKind, Network
    from magicmind.python.runtime.parser import Parser

    network, config = Network(), BuilderConfig()
    kind = {"onnx": ModelKind.kOnnx, "caffe": ModelKind.kCaffe}[request["form"]]
    _good("parse", Parser(kind).parse(network, *request["files"]))
    _good("parse_from_string", config.parse_from_string(json.dumps(request["config"])))
    model = Builder().build_model("model", network, config)
    if model is None:
        raise Refused("build_model gave no model")
    _good("serialize_to_file", model.serialize_to_file(request["output"]))


def _good(call: str, status: Any) -> None:
    if not status.ok():
        raise Refused(f"{call}: {status}")


if __name__ == "__main__":
    try:
        compiled(json.loads(Path("compile.json").read_text()))
    except Refused as refused:
        Path("refused.txt").write_text(" ".join(str(refused).split()))
