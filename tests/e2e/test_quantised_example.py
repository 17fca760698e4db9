"""The example in int8: trained for quantisation, TFLite in int8, the others with the grids beside them; and after training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .conftest import REPOSITORY, _cache
from .workspace import Workspace


def test_every_format_of_the_quantised_digits(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    for name in ("quantised", "quickstart"):
        shutil.copytree(REPOSITORY / "examples" / name, root / "examples" / name)
    (root / "pyproject.toml").write_text('[tool.megbuild]\ndefault = ["//examples/quantised/..."]\n')
    space = Workspace(root, _cache(tmp_path))
    space.edit(
        "examples/quantised/MODELS.toml",
        "[models.digits.outputs.tflite]",
        '[models.digits.outputs.eight]\nhardware = "tflite"\nbatch = 8\n[models.digits.outputs.tflite]',
    )
    outcome = space.build()
    space.end()
    assert outcome.status == 0, outcome.text
    whole = outcome.rows["//examples/quantised:digits@tflite"]
    assert outcome.rows["//examples/quantised:digits@eight"]["accuracy"] == whole["accuracy"]
    out = root / "out/examples/quantised/digits"
    assert (out / "tflite/digits.tflite").stat().st_size * 2 < (out / "onnx/digits.onnx").stat().st_size
    for format in ("onnx", "caffe"):
        notes = json.loads((out / format / "quant_params.json").read_text())
        assert notes["activations"].keys() >= {"image", "features.1.add", "features.2.add"}
        assert len(notes["weights"]) == 8
    after = {label.partition("@")[2]: row for label, row in outcome.rows.items() if ":after@" in label}
    assert after.keys() == {"tflite", "onnx", "openvino", "ethos-u55-128"}
    npu = after.pop("ethos-u55-128")
    assert (npu["status"], npu["verdict"]) == ("built", "not run")
    assert b"ethos-u" in Path(root, npu["artifact"]).read_bytes()
    for row in after.values():
        assert (row["verdict"], row["samples"]) == ("pass", 359), row
        assert row["accuracy"] >= 0.97
    assert b"DequantizeLinear" in (root / "out/examples/quantised/after/onnx/after.onnx").read_bytes()
    assert after["tflite"]["size"] * 2 < outcome.rows["//examples/quantised:digits@onnx"]["size"]  # in floats
