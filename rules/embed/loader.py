"""A loader of external operators in this process, so that MegEngine reads an .mge which only the device can run.

The structures are those of MegEngine's extern_c_opr.h, version 0x24.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from megbuild_worker.job import Refusal, Tensor

VERSION = 0x24
TYPES = {"float32": 0, "int32": 1, "uint8": 2, "float16": 3, "int16": 4}
"""The types that an external operator can have, by their numbers there."""


class _Shape(ctypes.Structure):
    _fields_ = [("ndim", ctypes.c_uint32), ("shape", ctypes.c_uint32 * 8)]


_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Hash = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)
_Same = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_Execute = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_InferShape = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_Shape))
_InferType = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))


class _Operator(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("nr_output", ctypes.c_uint32),
        ("type_name", ctypes.c_char_p),
        ("release", _Release),
        ("hash", _Hash),
        ("is_same", _Same),
        ("execute", _Execute),
        ("infer_shape", _InferShape),
        ("infer_dtype", _InferType),
        ("user_data", ctypes.c_void_p),
        ("dynamic_param", ctypes.c_void_p),
    ]


_Create = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)


class _Loader(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("create_desc", _Create)]


class _Api(ctypes.Structure):
    _fields_ = [
        ("register_loader", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Loader))),
        ("unregister_loader", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)),
    ]


@contextmanager
def registered(name: str, results: Sequence[Tensor]) -> Iterator[list[tuple[int, bytes]]]:
    """Inside the context MegEngine loads operators of this name, with these results.

    Yields a list that every operator which is loaded joins: its number of inputs, and the blob that it was given.
    """
    import megengine

    path = Path(megengine.__file__).parent / "core" / "lib" / "libmegengine_shared.so"
    get = ctypes.CDLL(str(path)).mgb_get_extern_c_opr_api_versioned
    get.restype, get.argtypes = ctypes.POINTER(_Api), [ctypes.c_int]
    api = get(VERSION)
    if not api:
        raise Refusal(f"this MegEngine has no external operators of version {VERSION:#x}")
    seen: list[tuple[int, bytes]] = []
    operator = _operator(name, results)

    def create(inputs: int, blob: int, length: int) -> int:
        seen.append((inputs, ctypes.string_at(blob, length)))
        return ctypes.addressof(operator)

    kept: list[Any] = [_Create(create)]
    if not api.contents.register_loader(ctypes.byref(_Loader(name.encode(), kept[0]))):
        raise Refusal(f"MegEngine has a loader {name} already")
    try:
        yield seen
    finally:
        api.contents.unregister_loader(name.encode())
        _KEPT.append((operator, kept))


_KEPT: list[Any] = []
"""What MegEngine may call as long as a graph lives."""


def _operator(name: str, results: Sequence[Tensor]) -> _Operator:
    """One operator serves for all: nothing of it changes."""

    def infer_shape(_: Any, inputs: Any, outputs: Any) -> None:
        for number, tensor in enumerate(results):
            outputs[number].ndim = len(tensor.shape)
            for axis, size in enumerate(tensor.shape):
                outputs[number].shape[axis] = size

    def infer_dtype(_: Any, inputs: Any, outputs: Any) -> None:
        for number, tensor in enumerate(results):
            outputs[number] = TYPES[tensor.dtype]

    return _Operator(
        ctypes.sizeof(_Operator),
        len(results),
        name.encode(),
        _Release(lambda _: None),
        _Hash(lambda _: 1),
        _Same(lambda one, other: int(one == other)),
        _Execute(lambda *_: None),
        _InferShape(infer_shape),
        _InferType(infer_dtype),
    )
