"""What people write around MegEngine and mgeconvert: one step a process. Runs in the mgeconvert toolchain.

by_hand.py trace NETWORK FILE.tm      by_hand.py dump FILE.tm FILE.mge
by_hand.py convert WORD...            mgeconvert's own command line, with what makes it start with this MegEngine
by_hand.py verify FILE.tm FILE        both are run on four inputs and compared
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List


def trace(name: str, target: str) -> None:
    """Training code -> .tm."""
    import megengine
    from megengine.traced_module import trace_module

    sys.path.insert(0, ".")
    code = importlib.import_module(name)
    feeds = code.NETWORK.feeds(0)
    megengine.save(trace_module(code.build(), *map(megengine.Tensor, feeds)), target)


def dump(source: str, target: str) -> None:
    """.tm -> .mge."""
    import megengine
    from megengine.jit import trace as compiled

    network = megengine.load(source)
    graph = compiled(symbolic=True, capture_as_const=True)(lambda x: network(x))
    graph(megengine.Tensor(_inputs(source)[0]))
    graph.dump(target, arg_names=["x"], output_names=["y"], optimize_for_inference=True)


def convert(*words: str) -> None:
    """The program ``convert`` of the mgeconvert package."""
    import mgeconvert_compat

    mgeconvert_compat.apply()
    import mgeconvert

    # The package was installed without its choice of converters, which its installer writes into its __init__.py.
    for name in ("mge_to_onnx", "onnx_to_tracedmodule", "onnx_to_mge", "tracedmodule_to_onnx"):
        setattr(mgeconvert, name, None)
    module = importlib.import_module("mgeconvert.converters." + words[0].replace("tracedmodule", "tm"))
    setattr(mgeconvert, words[0], getattr(module, words[0]))
    sys.argv = ["convert", *words]
    runpy.run_path(str(Path(sys.executable).with_name("convert")), run_name="__main__")


def verify(source: str, made: str) -> None:
    """The largest difference between the two, as a part of the largest magnitude."""
    import megengine
    import numpy as np

    inputs = _inputs(source)
    network = megengine.load(source)
    wanted = np.stack([network(megengine.Tensor(feed)).numpy() for feed in inputs])
    given = np.stack(_RUN[Path(made).suffix](made, inputs))
    if given.shape != wanted.shape:  # NHWC
        given = given.transpose(0, 1, 4, 2, 3)
    error = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    print(made, error)
    if not error < 1e-4:
        raise SystemExit(f"{made} differs by {error}")


def _inputs(source: str) -> List[Any]:
    """Four inputs of the shape that the .tm says it takes, drawn evenly."""
    import megengine
    import numpy as np

    shape = tuple(int(axis) for axis in megengine.load(source).graph.inputs[1].shape)
    return [np.random.RandomState(seed).uniform(-1, 1, shape).astype("float32") for seed in range(4)]


def _lite(made: str, inputs: List[Any]) -> List[Any]:
    import megenginelite as lite

    network = lite.LiteNetwork()
    network.load(made)
    given = []
    for feed in inputs:
        network.get_io_tensor("x").set_data_by_copy(feed)
        network.forward()
        network.wait()
        given.append(network.get_io_tensor("y").to_numpy().copy())
    return given


def _onnx(made: str, inputs: List[Any]) -> List[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    (taken,) = [
        i.name for i in session.get_inputs() if i.name not in {o.name for o in session.get_overridable_initializers()}
    ]
    return [session.run(None, {taken: feed})[0] for feed in inputs]


def _tflite(made: str, inputs: List[Any]) -> List[Any]:
    from tflite_runtime.interpreter import Interpreter

    interpreter = Interpreter(made, num_threads=1)
    interpreter.allocate_tensors()
    taken, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    given = []
    for feed in inputs:
        interpreter.set_tensor(taken, feed.transpose(0, 2, 3, 1))
        interpreter.invoke()
        given.append(interpreter.get_tensor(result).copy())
    return given


_RUN: Dict[str, Callable[[str, List[Any]], List[Any]]] = {".mge": _lite, ".onnx": _onnx, ".tflite": _tflite}

if __name__ == "__main__":
    {"trace": trace, "dump": dump, "convert": convert, "verify": verify}[sys.argv[1]](*sys.argv[2:])
