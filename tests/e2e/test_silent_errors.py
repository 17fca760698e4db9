"""Conversions that end well and are wrong: each is forced here with the real tools, and its verdict refuses it."""

from __future__ import annotations

import re
from collections.abc import Callable

from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

NETWORK = '''
    """A LeNet and a small residual network, with seeded weights."""

    import megengine
    import megengine.functional as F
    import megengine.module as M
    import numpy as np


    class LeNet(M.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = M.Conv2d(1, 6, 5, padding=2), M.Conv2d(6, 16, 5)
            self.third, self.fourth, self.last = M.Linear(400, 120), M.Linear(120, 84), M.Linear(84, 10)
            self.pool = M.MaxPool2d(2, 2)

        def forward(self, x):
            x = self.pool(F.relu(self.first(x)))
            x = self.pool(F.relu(self.second(x)))
            x = F.relu(self.third(F.flatten(x, 1)))
            return self.last(F.relu(self.fourth(x)))


    class Residual(M.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = M.Conv2d(1, 8, 3, padding=1), M.Conv2d(8, 8, 3, padding=1)
            self.pool, self.last = M.AvgPool2d(28), M.Linear(8, 10)

        def forward(self, x):
            x = F.relu(self.first(x))
            x = F.relu(self.second(x) + x)
            return self.last(F.flatten(self.pool(x), 1))


    def seeded(network):
        random = np.random.RandomState(0)
        for parameter in network.parameters():
            fan_in = int(np.prod(parameter.shape[1:])) or 1
            parameter[...] = megengine.Tensor(random.randn(*parameter.shape).astype("float32") * (2 / fan_in) ** 0.5)
        return network


    def lenet():
        return seeded(LeNet())


    def residual():
        return seeded(Residual())
'''

MODEL = """
    workspace = true

    [models.net]
    source  = "networks.py:{network}"
    inputs  = [{{ name = "x", shape = [1, 1, 28, 28], dtype = "float32", range = [0.0, 255.0] }}]
    results = [{{ name = "y", shape = [1, 10] }}]
    [models.net.outputs.bad]
    {output}
"""

MGE_TO_ONNX = {
    "rules/mge_to_onnx/rule.py": '''
        """mge_to_onnx: .mge -> .onnx, the way that mgeconvert offers and that is wrong for a default dump."""
        from megbuild.rule import Rule

        RULE = Rule(consumes="mge", produces="onnx_of_mge", files=(".onnx",), toolchain="mgeconvert", runs_on=("onnxruntime",))
    ''',
    "rules/mge_to_onnx/worker.py": """
        import numpy as np
        import onnx
        import onnxruntime
        from megbuild_worker.job import Tensor

        import mgeconvert_compat


        def build(job):
            mgeconvert_compat.apply()
            from mgeconvert.converters.mge_to_onnx import mge_to_onnx

            path = str(job.outputs["artifact"][0])
            mge_to_onnx(str(job.inputs["mge"][0]), path, opset=12)
            onnx.checker.check_model(onnx.load(path), full_check=True)  # which finds nothing wrong


        def describe(paths):
            return {
                "inputs": [Tensor("x", (1, 1, 28, 28), "float32")],
                "results": [Tensor("y", (1, 10), "float32")],
            }


        def run(paths, feeds, job):
            session = onnxruntime.InferenceSession(str(paths[0]), providers=["CPUExecutionProvider"])
            for feed in feeds:
                (given,) = session.run(None, {session.get_inputs()[0].name: feed["x"]})
                yield {"y": np.asarray(given)}


        def runtime():
            return "onnxruntime"
    """,
    "HARDWARE.toml": """
        [onnx-of-mge]
        format = "onnx_of_mge"
    """,
}

MGE_TO_TFLITE = {
    "rules/mge_to_tflite/rule.py": '''
        """mge_to_tflite: .mge -> .tflite, the way that mgeconvert offers and that is wrong for networks that flatten."""
        from megbuild.rule import Rule

        RULE = Rule(consumes="mge", produces="tflite_of_mge", files=(".tflite",), toolchain="mgeconvert", runs_on=("TFLite",))
    ''',
    "rules/mge_to_tflite/worker.py": """
        import numpy as np
        from megbuild_worker.job import Tensor
        from tflite_runtime.interpreter import Interpreter

        import mgeconvert_compat


        def build(job):
            mgeconvert_compat.apply()
            from mgeconvert.converters.mge_to_tflite import mge_to_tflite

            mge_to_tflite(str(job.inputs["mge"][0]), str(job.outputs["artifact"][0]))


        def describe(paths):
            return {
                "inputs": [Tensor("x", (1, 1, 28, 28), "float32")],
                "results": [Tensor("y", (1, 10), "float32")],
            }


        def run(paths, feeds, job):
            interpreter = Interpreter(str(paths[0]))
            interpreter.allocate_tensors()
            for feed in feeds:
                interpreter.set_tensor(interpreter.get_input_details()[0]["index"], feed["x"].transpose(0, 2, 3, 1))
                interpreter.invoke()
                yield {"y": interpreter.get_tensor(interpreter.get_output_details()[0]["index"])}


        def runtime():
            return "TFLite interpreter"
    """,
    "HARDWARE.toml": """
        [tflite-of-mge]
        format = "tflite_of_mge"
    """,
}


def refused(space: Workspace) -> str:
    """The reason for which the one output was refused, after every action had ended well."""
    outcome = space.build()
    assert outcome.status == 1, outcome.text
    row = outcome.rows["//:net@bad"]
    assert row["status"] == "refused", outcome.text
    assert any(action.endswith("+measured") for action in outcome.ran), outcome.text
    assert not list(space.root.glob("out/**/*.*")), "a refused artifact was published"
    return str(row["reason"])


def test_onnx_from_a_default_dump_of_a_lenet(unbuilt: Make) -> None:
    output = 'hardware = "onnx-of-mge"\n    via = "mge"'
    space = unbuilt(
        {"MODELS.toml": MODEL.format(network="lenet", output=output), "networks.py": NETWORK, **MGE_TO_ONNX}
    )
    reason = refused(space)
    assert re.search(r"cosine of y is \S+ on sample 0, asked at least 0\.999", reason), reason


def test_onnx_from_a_default_dump_of_a_residual_network(unbuilt: Make) -> None:
    output = 'hardware = "onnx-of-mge"\n    via = "mge"'
    space = unbuilt(
        {"MODELS.toml": MODEL.format(network="residual", output=output), "networks.py": NETWORK, **MGE_TO_ONNX}
    )
    assert "of y is" in refused(space)


def test_the_same_road_is_right_from_a_dump_without_optimisation(unbuilt: Make) -> None:
    """So it is the conversion that the verdict refuses, not the test's own rule."""
    output = 'hardware = "onnx-of-mge"\n    via = "mge"\n    optimize = false'
    space = unbuilt(
        {"MODELS.toml": MODEL.format(network="lenet", output=output), "networks.py": NETWORK, **MGE_TO_ONNX}
    )
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    assert outcome.rows["//:net@bad"]["verdict"] == "smoke"


def test_tflite_from_a_dump_of_a_network_that_flattens(unbuilt: Make) -> None:
    output = 'hardware = "tflite-of-mge"\n    via = "mge"\n    optimize = false'
    space = unbuilt(
        {"MODELS.toml": MODEL.format(network="lenet", output=output), "networks.py": NETWORK, **MGE_TO_TFLITE}
    )
    reason = refused(space)
    assert re.search(r"cosine of y is \S+ on sample 0, asked at least 0\.9999", reason), reason


def test_float16_of_a_lenet(unbuilt: Make) -> None:
    output = 'hardware = "x86"\n    precision = "fp16"'
    space = unbuilt({"MODELS.toml": MODEL.format(network="lenet", output=output), "networks.py": NETWORK})
    assert "cosine of y is" in refused(space)
