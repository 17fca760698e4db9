"""mgeconvert 1.0.2 made to work with MegEngine 1.13: call ``apply()`` before any conversion.

mgeconvert is the last of its line, and MegEngine, Python and the user's patience have moved on since. Four things are
mended in place; the converters' own code stays as it is, and no output byte changes by it but the order of JSON keys.
"""

import collections
import collections.abc
import json

import numpy as np

_applied = False


def apply():
    """Mend mgeconvert in this process. Further calls do nothing."""
    global _applied
    if _applied:
        return
    _restore_collections()
    # Imported only now: mgeconvert's modules read collections.Iterable while they are imported.
    from mgeconvert.backend.ir_to_tflite.tflite_converter import TFLiteConverter
    from mgeconvert.converter_ir.ir_quantizer import IRQuantizer
    from mgeconvert.converter_ir.ir_tensor import IRTensor

    IRTensor.dtype = property(_dtype, _set_dtype)
    TFLiteConverter.gen_buffer = _gen_buffer
    IRQuantizer.dump_quant_param = _dump_quant_param
    _applied = True


def _restore_collections():
    """mgeconvert says ``from collections import Iterable``, which Python 3.10 took away and 3.9 warns about."""
    collections.Iterable = collections.abc.Iterable


def _dtype(tensor):
    return tensor.__dict__["_scalar_type"]


def _set_dtype(tensor, dtype):
    """Keep the scalar type: mgeconvert's tables are keyed by it, and MegEngine 1.12 began to give ``np.dtype`` instances.

    A quantised type stays an ``np.dtype``, for its metadata (scale and zero point).
    """
    plain = isinstance(dtype, np.dtype) and not dtype.metadata
    tensor.__dict__["_scalar_type"] = dtype.type if plain else dtype


def _gen_buffer(converter, byte_list):
    """Write the bytes of a constant at once; the original calls the builder once a byte (24 s for 2.8 MB)."""
    from mgeconvert.backend.ir_to_tflite.tflite import Buffer

    builder = converter._builder
    data = builder.CreateNumpyVector(np.frombuffer(bytes(byte_list), np.uint8)) if byte_list else None
    Buffer.BufferStart(builder)
    if data is not None:
        Buffer.BufferAddData(builder, data)
    return Buffer.BufferEnd(builder)


def _dump_quant_param(quantizer, path="quant_params.json"):
    """Write the quantisation parameters with sorted keys; the original writes them in the order of a set.

    The default path lies in the current folder: converters want ``quantize_file_path`` said.
    """
    if quantizer.quant_params:
        with open(path, "w") as file:
            file.write(json.dumps(quantizer.quant_params, indent=4, sort_keys=True))
