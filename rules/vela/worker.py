"""Compiles with Vela and reads back what was left to the CPU. Runs inside the vela toolchain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from megbuild_worker.job import Description, Job, Refusal, Tensor

NPU = b"ethos-u"
"""The custom operator that Vela puts in place of what the NPU computes."""
REASON = re.compile(r"operator: \w+, ofm: '(.+)'\n\s*(?:Reason: *)?(.+)")


def build(job: Job) -> None:
    """Runs Vela in a folder of its own; refuses when nothing reached the NPU, or more stayed on the CPU than allowed."""
    folder = job.folder / "tmp" / "vela"
    folder.mkdir(parents=True)
    shutil.copyfile(job.input("tflite"), folder / "model.tflite")
    done = subprocess.run(
        [sys.executable, "-B", "-s", "-m", "ethosu.vela", *arguments(job)], cwd=folder, text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"}, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    made = folder / "model_vela.tflite"
    if done.returncode or not made.is_file():
        errors = [line for line in done.stdout.splitlines() if line.startswith("Error")]
        said = errors[-1] if errors else f"it exited with status {done.returncode}"
        raise Refusal(f"vela cannot compile this model for {job.options.target}: {said}")
    _judge(job, made.read_bytes(), dict(REASON.findall(done.stdout)))
    shutil.move(made, job.output("artifact"))


def arguments(job: Job) -> list[str]:
    """The command line of Vela after its name."""
    options = job.options
    chosen = [f"--system-config={options.system_config}"] if options.system_config else []
    chosen += [f"--memory-mode={options.memory_mode}"] if options.memory_mode else []
    return [
        "model.tflite", "--output-dir=.", f"--accelerator-config={options.target}",
        f"--optimise={options.optimise.capitalize()}", *chosen, "--show-cpu-operations",
    ]  # fmt: skip


def _judge(job: Job, content: bytes, reasons: dict[str, str]) -> None:
    operators = list(_operators(_graph(content)))
    left = [(kind, result) for kind, result, border in operators if kind != NPU and not border]
    told = [f"{kind} of {result} ({reasons.get(result, 'no reason given')})" for kind, result in left]
    shown = "; ".join(told[:5]) + (f"; and {len(told) - 5} more" if len(told) > 5 else "")
    if not any(kind == NPU for kind, _, _ in operators):
        why = shown or "there is nothing to compute"
        raise Refusal(
            f"nothing of this model runs on {job.options.target}: train it for quantisation, or set "
            f'precision = "int8" with calibration samples. On the CPU: {why}'
        )
    if len(left) > job.options.cpu_operators:
        allowed = f"cpu_operators = {job.options.cpu_operators} allows"
        raise Refusal(f"{len(left)} operators stay on the CPU, {allowed}: {shown}")


def _graph(content: bytes) -> tuple[Any, Any]:
    """The file and its one graph."""
    from ethosu.vela.tflite.Model import Model

    model = Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise Refusal(f"vela wrote {model.SubgraphsLength()} graphs into one file")
    return model, model.Subgraphs(0)


def _operators(file: tuple[Any, Any]) -> Iterator[tuple[Any, str, bool]]:
    """For each operator: its kind, its result's name, and whether it only converts a float input or result."""
    from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator

    model, graph = file
    kinds = {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    given, results = set(graph.InputsAsNumpy().tolist()), set(graph.OutputsAsNumpy().tolist())
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        name = graph.Tensors(operator.Outputs(0)).Name().decode()
        border = (kind == "QUANTIZE" and operator.Inputs(0) in given) or (
            kind == "DEQUANTIZE" and operator.Outputs(0) in results
        )
        yield (code.CustomCode() if kind == "CUSTOM" else kind), name, border


def describe(paths: Sequence[Path]) -> Description:
    """Reads inputs and results; a tensor with four dimensions is NHWC, as in the TFLite file before."""
    _, graph = _graph(Path(paths[0]).read_bytes())
    return {
        "inputs": [_tensor(graph.Tensors(number)) for number in graph.InputsAsNumpy().tolist()],
        "results": [_tensor(graph.Tensors(number)) for number in graph.OutputsAsNumpy().tolist()],
    }


def _tensor(tensor: Any) -> Tensor:
    from ethosu.vela.tflite.TensorType import TensorType

    types = {value: name.lower() for name, value in vars(TensorType).items() if isinstance(value, int)}
    shape = tuple(int(n) for n in tensor.ShapeAsNumpy())
    return Tensor(tensor.Name().decode(), shape, types[tensor.Type()], layout="NHWC" if len(shape) == 4 else "")
