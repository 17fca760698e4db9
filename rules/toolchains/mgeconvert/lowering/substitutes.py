"""What to write in the training code in place of an operation that a format cannot take, where something is known."""

from __future__ import annotations

_INSTEAD = {
    "functional.cond_take": "functional.where, which keeps the shape",
    "functional.nms": "the network without it, and suppression after the network",
    "functional.roi_align": "the network cut in two before it",
    "functional.roi_pooling": "the network cut in two before it",
    "functional.deformable_conv2d": "a plain convolution",
    "module.DeformableConv2d": "a plain convolution",
    "functional.warp_affine": "functional.vision.interpolate with a fixed size, or warping before the network",
    "functional.warp_perspective": "functional.vision.interpolate with a fixed size, or warping before the network",
    "functional.remap": "functional.vision.interpolate with a fixed size, or remapping before the network",
    "functional.svd": "a decomposition of the weights before tracing",
    "functional.matinv": "the inverse of a constant, computed before tracing",
    "functional.multi_head_attention": "attention written with matmul and softmax",
    "module.MultiHeadAttention": "attention written with matmul and softmax",
    "operator GaussianRNG": "random numbers as an input",
    "operator UniformRNG": "random numbers as an input",
    "functional.scatter": "functional.where with a mask",
}
_INSTEAD_IN = {
    "Caffe": {
        "functional.matmul": "a product with constants (Linear, Conv2d), or ONNX or TFLite",
        "Tensor.__matmul__": "a product with constants (Linear, Conv2d), or ONNX or TFLite",
        "functional.argmax": "the scores as the result, and the argmax after the network",
        "functional.argmin": "the scores as the result, and the argmin after the network",
        "functional.topk": "the scores as the result, and the choice after the network",
        "functional.sort": "sorting after the network",
        "module.Embedding": "the embedded values as the input",
    },
}


def instead_of(operation: str, format: str) -> str:
    """The substitute in words; empty where none is known."""
    return _INSTEAD_IN.get(format, {}).get(operation) or _INSTEAD.get(operation, "")
