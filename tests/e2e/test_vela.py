"""Arm's Vela on a small network trained for quantisation: what reaches the NPU, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .workspace import Workspace

Make = Callable[[dict[str, str]], Workspace]

FILES = {
    "MODELS.toml": """
        workspace = true

        [models.net]
        source  = "net.py:build"
        inputs  = [{ name = "image", shape = [1, 3, 8, 8] }]
        results = [{ name = "scores", shape = [1, 4] }]
        [models.net.outputs.ethos-u55-128]
    """,
    "net.py": """
        import megengine
        import megengine.functional as F
        import megengine.module as M
        import numpy as np
        from megengine.quantization import disable_observer, ema_fakequant_qconfig, quantize_qat


        class Net(M.Module):
            def __init__(self):
                super().__init__()
                self.quant, self.dequant = M.QuantStub(), M.DequantStub()
                self.conv = M.ConvBnRelu2d(3, 8, 3, 2, 1)
                self.scores = M.Linear(128, 4)

            def forward(self, image):
                x = self.scores(F.flatten(self.conv(self.quant(image)), 1))
                return self.dequant(x)


        def build():
            random = np.random.RandomState(0)
            network = Net()
            for parameter in network.parameters():
                parameter[...] = megengine.Tensor(random.uniform(-0.3, 0.3, parameter.shape).astype("float32"))
            network = quantize_qat(network, qconfig=ema_fakequant_qconfig)
            network.train()
            network(megengine.Tensor(random.uniform(-1, 1, (8, 3, 8, 8)).astype("float32")))
            network.eval()
            disable_observer(network)
            return network
    """,
}


def test_what_the_npu_takes(unbuilt: Make) -> None:
    """One operator of the NPU between the conversions of a float input and float results; two builds give equal bytes."""
    space = unbuilt(FILES)
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    row = outcome.rows["//:net@ethos-u55-128"]
    assert (row["status"], row["verdict"]) == ("built", "not run")
    assert "ethos-u55-128 cannot run on the build machine" in row["reason"]
    artifact = Path(space.root, row["artifact"])
    made = artifact.read_bytes()
    assert made[4:8] == b"TFL3"
    assert made.count(b"ethos-u") == 1
    assert "//:net#tflite-int8-no_exact" in outcome.ran
    space.forget_store()
    space.doit("forget", "//:net@ethos-u55-128")
    assert space.build().status == 0
    assert artifact.read_bytes() == made


def test_a_network_that_stays_on_the_cpu(unbuilt: Make) -> None:
    """Vela itself succeeds on floats."""
    space = unbuilt(
        {
            **FILES,
            "net.py": FILES["net.py"]
            .replace("network = quantize_qat(network, qconfig=ema_fakequant_qconfig)", "")
            .replace("disable_observer(network)", ""),
        }
    )
    outcome = space.build()
    assert outcome.status == 1
    assert (
        "nothing of this model runs on ethos-u55-128: train it for quantisation, or set "
        'precision = "int8" with calibration samples. On the CPU: ' in outcome.errors[0]
    )
    assert "unsupported DataType Float32" in outcome.errors[0]


@pytest.mark.parametrize(("budget", "status"), [(0, 1), (1, 1), (2, 0)])
def test_the_budget_of_the_cpu(unbuilt: Make, budget: int, status: int) -> None:
    """An operator in floats behind the quantised part, and the conversion to it, which is none of the model's result."""
    space = unbuilt(
        {
            "MODELS.toml": FILES["MODELS.toml"].replace("128]\n", f"128]\n        cpu_operators = {budget}\n"),
            "net.py": FILES["net.py"].replace("return self.dequant(x)", "return F.exp(self.dequant(x))"),
        }
    )
    outcome = space.build()
    assert outcome.status == status, outcome.text
    if status:
        assert f"2 operators stay on the CPU, cpu_operators = {budget} allows: " in outcome.errors[0]
        assert "EXP of scores (" in outcome.errors[0]


def test_it_wants_plain_int8(unbuilt: Make) -> None:
    space = unbuilt({**FILES, "MODELS.toml": FILES["MODELS.toml"].replace("128]\n", "128]\n        exact = true\n")})
    outcome = space.build("--dry-run", summary=False)
    assert outcome.status == 2
    assert "exact = True contradicts vela, which needs its tflite made with exact = False" in outcome.errors[0]
