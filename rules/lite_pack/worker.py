"""Packs an .mge, and runs what was packed with Lite Python. Runs inside the lite_pack toolchain."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import megbuild_mge
from megbuild_worker import samples
from megbuild_worker.job import Description, Job, NotHere, Refusal, Tensor

from . import packed, secrecy

PLAIN = "NONE"
MODEL = "model"
TYPES = ("float32", "float16", "int32", "int16", "int8", "uint8")
"""The types of a description's inputs and results; Lite takes the network's own where it says nothing."""
DIMENSIONS = 4
"""Axes that a description can tell of; an input with more is left to the network."""


def build(job: Job) -> None:
    """Writes the network with its description into one file; both encrypted where a key is named."""
    network = job.input("mge").read_bytes()
    description = json.dumps(_description(job), sort_keys=True).encode()
    key = job.secret("encrypt") if job.options.encrypt else b""
    if key:
        parts = packed.Packed(
            MODEL, secrecy.METHOD, secrecy.encrypted(description, key), secrecy.encrypted(network, key)
        )
    else:
        parts = packed.Packed(MODEL, PLAIN, description, network)
    content = packed.write(parts)
    _read_back(content, network, description, key)
    job.output("artifact").write_bytes(content)


def _description(job: Job) -> dict[str, Any]:
    """Under the keys of lite/src/parse_info/default_parse.h. "version" is that of the Lite which it was made for."""
    return {
        "valid": True,
        "name": MODEL,
        "version": runtime().split()[-1],
        "has_compression": False,
        "backend": "MGE",
        "device": {"type": job.options.device},
        "IO": {
            "inputs": [_entry(tensor) for tensor in job.declared_inputs],
            "outputs": [{"name": tensor.name, "is_host": True, "io_type": "value"} for tensor in job.declared_results],
        },
    }


def _entry(tensor: Tensor) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": tensor.name, "is_host": True, "io_type": "value"}
    if tensor.dtype in TYPES and len(tensor.shape) <= DIMENSIONS:
        entry["dtype"] = tensor.dtype
        entry["shape"] = {f"dim{number}": size for number, size in enumerate(tensor.shape)}
    return entry


def _read_back(content: bytes, network: bytes, description: bytes, key: bytes) -> None:
    """Takes the file apart again: what cannot be run here was at least read."""
    parts = packed.read(content)
    found = [secrecy.decrypted(part, key) if key else part for part in (parts.network, parts.description)]
    if found != [network, description]:
        raise Refusal("the packed model does not hold what was packed")
    if key and (network[:64] in content or description in content):
        raise Refusal("the packed model shows what was to be encrypted")


def describe(paths: Sequence[Path]) -> Description | None:
    """Reads inputs and results of a packed network; None for an encrypted one, which nothing reads without its key."""
    parts = packed.read(Path(paths[0]).read_bytes())
    if parts.method != PLAIN:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        network = Path(scratch, "model.mge")
        network.write_bytes(parts.network)
        return megbuild_mge.describe([network])


def run(paths: Sequence[Path], feeds: Iterable[samples.Feed], job: Job) -> Iterator[dict[str, Any]]:
    """Runs the packed file with Lite Python, and beside it the .mge that was packed: both must give the same bits."""
    megbuild_mge.leave_to_its_device(job.options.layout)
    if job.options.device != "CPU":
        raise NotHere(f"the packed model says that it runs on {job.options.device}, which Lite has not here")
    if job.options.encrypt:
        import megenginelite as lite

        lite.LiteGlobal.update_decryption_key(secrecy.METHOD, job.secret("encrypt"))
    for_us, for_them = itertools.tee(feeds)
    ours, theirs = megbuild_mge.run(paths, for_us, job), megbuild_mge.run([job.input("mge")], for_them, job)
    for results, wanted in zip(ours, theirs):
        for name, array in results.items():
            if array.tobytes() != wanted[name].tobytes():
                raise Refusal(f'the packed model computes another "{name}" than the .mge that was packed')
        yield results


def runtime() -> str:
    """The runtime and its version."""
    return megbuild_mge.runtime()
