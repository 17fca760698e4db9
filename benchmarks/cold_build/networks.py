"""The 24 networks of the benchmark: sizes of two families that mgeconvert's own command line converts to both formats."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import product
from pathlib import Path

CONVERSION = Path(__file__).resolve().parents[1] / "conversion" / "networks"


@dataclass(frozen=True)
class Case:
    """One network: its name, its training code, and the shapes of its input and its result."""

    name: str
    code: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]


_CODE = """from networks.registry import small
from networks.{module} import {names}

NETWORK = small(lambda: {made}, {takes})


def build():
    return NETWORK.make()
"""


def cases() -> list[Case]:
    """All of them, in order."""
    found = []
    for width, depths in product((8, 12, 16, 20, 24, 32), ((1, 1, 1), (2, 1, 1))):
        made, takes = f"ResNet(10, 2, Basic, {depths}, {width})", (1, 3, 32, 32)
        code = _CODE.format(module="residual", names="Basic, ResNet", made=made, takes=takes)
        found.append(Case(f"residual{len(found):02}", code, takes, (1, 10)))
    for widths, size in product(
        ((4, 8, 16), (6, 12, 24), (8, 16, 24), (8, 16, 32), (12, 16, 24), (8, 16)), ((32, 48), (48, 64))
    ):
        takes = (1, 3, *size)
        code = _CODE.format(module="unet", names="UNet", made=f"UNet({widths}, 2, False)", takes=takes)
        found.append(Case(f"unet{len(found):02}", code, takes, (1, 2, *size)))
    return found


_MODEL = """
[models.{name}]
source  = "{name}.py:build"
inputs  = [{{ name = "x", shape = {takes}, dtype = "float32" }}]
results = [{{ name = "y", shape = {gives} }}]
[models.{name}.outputs.x86]
[models.{name}.outputs.onnx]
[models.{name}.outputs.tflite]
"""


def workspace(root: Path, chosen: list[Case]) -> None:
    """Write a workspace that declares them, each for .tm, .mge, ONNX and TFLite."""
    shutil.copytree(CONVERSION, root / "networks", ignore=shutil.ignore_patterns("__pycache__"))
    models = [_MODEL.format(name=c.name, takes=list(c.takes), gives=list(c.gives)) for c in chosen]
    (root / "MODELS.toml").write_text("workspace = true\n" + "".join(models))
    for case in chosen:
        (root / f"{case.name}.py").write_text(case.code)
