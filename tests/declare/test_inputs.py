"""The entries under which a model declares files, with their places."""

from __future__ import annotations

from pathlib import Path

from megbuild.declare.inputs import inputs_of
from megbuild.declare.models import Model
from megbuild.declare.positions import Place

MODELS = """
[models.net]
source = "net.py:build"
data = ["a.txt",
        "tables"]
samples = "samples/*.npy"
labels = "//labels.npy"
calibration = ["samples/1.npy"]
"""


def test_every_entry_with_its_files_and_place(tmp_path: Path) -> None:
    for path in ("v/a.txt", "v/tables/x.csv", "v/tables/y/z.csv", "v/samples/1.npy", "v/samples/2.npy", "labels.npy"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "v/MODELS.toml").write_text(MODELS)
    place = Place("v/MODELS.toml", str(tmp_path / "v/MODELS.toml")).key_of("models", "net")
    model = Model("v", "net", (), (), (), where=place)
    found = [(f"{e.where.located()}", e.key, e.text, e.paths) for e in inputs_of(model, str(tmp_path))]
    assert found == [
        ("v/MODELS.toml:4:9", "data", "a.txt", ("v/a.txt",)),
        ("v/MODELS.toml:5:9", "data", "tables", ("v/tables/x.csv", "v/tables/y/z.csv")),
        ("v/MODELS.toml:6:11", "samples", "samples/*.npy", ("v/samples/1.npy", "v/samples/2.npy")),
        ("v/MODELS.toml:8:16", "calibration", "samples/1.npy", ("v/samples/1.npy",)),
        ("v/MODELS.toml:7:10", "labels", "//labels.npy", ("labels.npy",)),
    ]
