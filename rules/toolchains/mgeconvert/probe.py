"""Convert a traced network to ONNX, TFLite and Caffe and run each on its runtime; prints one digest of all files.

Weights and input are multiples of 1/8, so that every sum is exact and the runtimes must agree with each other bit by bit.
"""

import hashlib
from pathlib import Path

import cv2
import megengine as mge
import megengine.functional as F
import megengine.module as M
import mgeconvert_compat
import numpy as np
import onnxruntime
from megengine.traced_module import trace_module
from mgeconvert.converters.tm_to_caffe import tracedmodule_to_caffe
from mgeconvert.converters.tm_to_onnx import tracedmodule_to_onnx
from mgeconvert.converters.tm_to_tflite import tracedmodule_to_tflite
from tflite_runtime.interpreter import Interpreter


def eighths(*shape):
    """Values from -1 to 1 in steps of 1/8, in a fixed order without symmetry."""
    count = int(np.prod(shape))
    return ((np.arange(count) * 7 % 17 - 8) / 8).astype("float32").reshape(shape)


class Probe(M.Module):
    """Convolution, ReLU, pooling, linear."""

    def __init__(self):
        """Give every parameter its fixed values."""
        super().__init__()
        self.conv = M.Conv2d(2, 4, 3, padding=1)
        self.pool = M.MaxPool2d(2)
        self.linear = M.Linear(4 * 4 * 4, 5)
        for parameter in self.parameters():
            parameter[...] = mge.tensor(eighths(*parameter.shape))

    def forward(self, data):
        """(1, 2, 8, 8) -> (1, 5)."""
        return self.linear(F.flatten(self.pool(F.relu(self.conv(data))), 1))


def run_onnx(data):
    """onnxruntime's result."""
    session = onnxruntime.InferenceSession("probe.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: data})[0]


def run_tflite(data):
    """The TFLite interpreter's result; it takes NHWC."""
    interpreter = Interpreter("probe.tflite", num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], data.transpose(0, 2, 3, 1))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def run_caffe(data):
    """The result of OpenCV, which runs Caffe networks."""
    network = cv2.dnn.readNetFromCaffe("probe.prototxt", "probe.caffemodel")
    network.setInput(data)
    return network.forward()


def main():
    """Make everything in the current folder, compare, and print the digest."""
    mgeconvert_compat.apply()
    network, data = Probe(), eighths(1, 2, 8, 8)
    network.eval()
    mge.save(trace_module(network, mge.tensor(data)), "probe.tm")
    tracedmodule_to_onnx(mge.load("probe.tm"), "probe.onnx")
    tracedmodule_to_tflite(mge.load("probe.tm"), "probe.tflite")
    tracedmodule_to_caffe(mge.load("probe.tm"), "probe.prototxt", "probe.caffemodel")

    expected = network(mge.tensor(data)).numpy()
    for run in (run_onnx, run_tflite, run_caffe):
        assert np.array_equal(run(data).reshape(expected.shape), expected), f"{run.__name__} differs from MegEngine"

    digest = hashlib.sha256()
    for name in ("probe.tm", "probe.onnx", "probe.tflite", "probe.prototxt", "probe.caffemodel"):
        digest.update(hashlib.sha256(Path(name).read_bytes()).digest())
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
