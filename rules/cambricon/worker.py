"""Compiles with Cambricon's MagicMind, in a process that finds its libraries. Runs inside the cambricon toolchain."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from megbuild_worker.job import Job, Refusal

from . import compiler

PRECISIONS = {"fp16": "force_float16", "fp32": "force_float32"}


def build(job: Job) -> None:
    """Runs ``compiler.py`` in a folder and a home of its own, because libraries are searched by what a process starts with.

    The network's shapes are fixed in its file, batch included.
    """
    folder = job.folder / "tmp" / "magicmind"
    (folder / "home").mkdir(parents=True)
    form = "onnx" if "onnx" in job.inputs else "caffe"
    # The network first and then its weights, as the artifact has them; the parser wants the weights first.
    files = [shutil.copyfile(path, folder / f"model{path.suffix}").name for path in job.inputs[form]]
    request = {
        "form": form,
        "files": files[::-1],
        "config": config(job),
        "output": "model.mm",
    }
    (folder / "compile.json").write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-B", "-s", str(Path(compiler.__file__).resolve())], cwd=folder, env=_environment(folder), text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    refused, made = folder / "refused.txt", folder / "model.mm"
    if refused.is_file():
        raise Refusal(f"MagicMind cannot compile this model for {job.options.target}: {refused.read_text()}")
    if done.returncode or not made.is_file():
        raise Refusal(f"MagicMind gave no model for {job.options.target}: it ended with status {done.returncode}")
    shutil.move(made, job.output("artifact"))


def config(job: Job) -> dict[str, object]:
    """The configuration of MagicMind's builder."""
    return {
        "archs": [job.options.target],
        "graph_shape_mutable": False,
        "precision_config": {"precision_mode": PRECISIONS[job.options.precision]},
    }


def _environment(folder: Path) -> dict[str, str]:
    neuware = os.environ["NEUWARE_HOME"]
    return {
        "NEUWARE_HOME": neuware,
        "LD_LIBRARY_PATH": f"{neuware}/lib64",
        "PYTHONPATH": os.environ["MAGICMIND_PYTHON"],
        "PATH": f"{neuware}/bin:{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }


def describe(paths: Sequence[Path]) -> None:
    """Nothing here reads an .mm back."""
