"""Compiles with Huawei's ``atc``, found by ASCEND_TOOLKIT_HOME. Runs inside the atlas toolchain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from megbuild_worker import batch
from megbuild_worker.job import Job, Refusal, Tensor

PRECISIONS = {"fp16": "force_fp16", "fp32": "must_keep_origin_dtype"}
FAILURE = re.compile(r"\b(E[0-9A-Z]\d{4}):? *(.*)")
"""A line of atc's with the code of an error, such as ``E10001: Value [x] for parameter [--soc_version] is invalid.``"""


def build(job: Job) -> None:
    """Runs atc in a folder and a home of its own, because it leaves ``kernel_meta``, reports and logs behind."""
    folder = job.folder / "tmp" / "atc"
    folder.mkdir(parents=True)
    (folder / "home").mkdir()
    for name, path in zip(("model.prototxt", "model.caffemodel"), job.inputs.get("caffe", ())):
        shutil.copyfile(path, folder / name)
    if "onnx" in job.inputs:
        shutil.copyfile(job.input("onnx"), folder / "model.onnx")
    toolkit = Path(os.environ["ASCEND_TOOLKIT_HOME"])
    # The copies give every build the same relative names: what atc writes of them is the same in every folder.
    done = subprocess.run(
        [str(toolkit / "bin/atc"), *arguments(job)], cwd=folder, env=environment(toolkit, folder), text=True,
        errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    made = folder / "model.om"
    if done.returncode or "ATC run success" not in done.stdout or not made.is_file():
        raise Refusal(f"atc cannot compile this model for {job.options.target}: {_failure(done)}")
    shutil.move(made, job.output("artifact"))


def arguments(job: Job) -> list[str]:
    """The command line of atc after its name."""
    inputs = batch.declared(job).declared_inputs
    network = (
        ["--framework=5", "--model=model.onnx"]
        if "onnx" in job.inputs
        else ["--framework=0", "--model=model.prototxt", "--weight=model.caffemodel"]
    )
    return [
        *network,
        "--output=model",  # atc appends .om
        f"--soc_version={job.options.target}",
        f"--input_format={'NCHW' if any(len(tensor.shape) == 4 for tensor in inputs) else 'ND'}",
        f"--input_shape={';'.join(map(_shape, inputs))}",
        f"--precision_mode={PRECISIONS[job.options.precision]}",
        "--output_type=FP32",
        "--op_compiler_cache_mode=disable",
        "--log=error",
    ]


def _shape(tensor: Tensor) -> str:
    return f"{tensor.name}:{','.join(map(str, tensor.shape))}"


def environment(toolkit: Path, folder: Path) -> dict[str, str]:
    """What the toolkit's set_env.sh sets, a Python for the compilers of its operators, and nothing else.

    ``devlib`` stands in for the driver's libraries where there is no board; it comes last.
    """
    tbe = f"{toolkit}/opp/built-in/op_impl/ai_core/tbe"
    libraries = [
        f"{toolkit}/lib64", f"{toolkit}/lib64/plugin/opskernel", f"{toolkit}/lib64/plugin/nnengine",
        f"{tbe}/op_tiling/lib/linux/x86_64", f"{sys.base_prefix}/lib", f"{toolkit}/x86_64-linux/devlib",
    ]  # fmt: skip
    programs = [
        f"{toolkit}/bin", f"{toolkit}/compiler/ccec_compiler/bin", f"{toolkit}/tools/ccec_compiler/bin",
        str(Path(sys.executable).parent), "/usr/bin", "/bin",
    ]  # fmt: skip
    return {
        "ASCEND_TOOLKIT_HOME": str(toolkit),
        "ASCEND_HOME_PATH": str(toolkit),
        "ASCEND_AICPU_PATH": str(toolkit),
        "ASCEND_OPP_PATH": f"{toolkit}/opp",
        "TOOLCHAIN_HOME": f"{toolkit}/toolkit",
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PYTHONPATH": f"{toolkit}/python/site-packages:{tbe}",
        "PATH": ":".join(programs),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "ASCEND_PROCESS_LOG_PATH": str(folder / "log"),
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _failure(done: subprocess.CompletedProcess[str]) -> str:
    found = [f"{match[2]} ({match[1]})" for match in FAILURE.finditer(done.stdout)]
    if found:
        return found[0]
    return f"it exited with status {done.returncode}" if done.returncode else "it wrote no .om"


def describe(paths: Sequence[Path]) -> None:
    """Nothing here reads an .om back."""
