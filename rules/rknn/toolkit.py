"""rknn-toolkit2, step by step, with every return value checked.

Run as a program it compiles one file in a process of its own: it reads ``compile.json`` in the current folder and
writes the file it names and ``compiled.json``. Only the standard library and the toolkit are imported here.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

NO_RANDOMISATION = 0x0040000
"""The bit of personality(2) that loads a program at the same addresses every time."""
NEAR = 1 << 30
"""Mappings closer than this belong to one part of memory: what was unmapped between them counts as well."""
TOP = 1 << 47
"""Addresses from here on belong to the kernel."""


class Failure(Exception):
    """A step of the toolkit that did not succeed; the message names the step and says what it returned."""


def built(model: str, target: str, optimization_level: int, dataset: str | None) -> Any:
    """The toolkit's object with ``model`` compiled for ``target``, ready to export or to simulate.

    :param dataset: the list of calibration samples for int8, one sample a line; None for float16.
    :raises Failure: when a step fails. The toolkit prints errors where it succeeds and warns where it fails, so only
        returned values and exceptions count.
    """
    from rknn.api import RKNN

    toolkit = RKNN(verbose=False)
    _step("config", toolkit.config, target_platform=target, optimization_level=optimization_level)
    _step("load_onnx", toolkit.load_onnx, model=model)
    _step("build", toolkit.build, do_quantization=dataset is not None, dataset=dataset)
    return toolkit


def export(toolkit: Any, path: str) -> None:
    """Writes the .rknn file.

    :raises Failure: when it was not written.
    """
    _step("export_rknn", toolkit.export_rknn, path)
    if not Path(path).is_file():
        raise Failure("export_rknn wrote nothing")


def simulator(toolkit: Any) -> None:
    """Makes a built toolkit ready for ``inference`` on this machine.

    :raises Failure: when it cannot.
    """
    _step("init_runtime", toolkit.init_runtime)


def _step(name: str, call: Any, *arguments: Any, **options: Any) -> None:
    try:
        status = call(*arguments, **options)
    except Exception as error:
        said = str(error).strip().splitlines()
        raise Failure(f"{name} raised {said[-1] if said else type(error).__name__}") from error
    if status != 0:
        raise Failure(f"{name} returned {status}")


def compile_here() -> None:
    """Does what ``compile.json`` asks for and tells the addresses of this process, or what failed."""
    request = json.loads(Path("compile.json").read_text())
    output = request.pop("output")
    answer: dict[str, Any] = {"failure": ""}
    try:
        export(built(**request), output)
    except Failure as failure:
        answer["failure"] = str(failure)
    maps = Path("/proc/self/maps").read_text()
    if "MEGBUILD_FILL" in os.environ and "/fill.so" not in maps:  # the linker only warns of what it cannot load
        answer["failure"] = answer["failure"] or "the library that fills memory was not loaded"
    answer["spans"] = spans(maps)
    Path("compiled.json").write_text(json.dumps(answer))


def spans(maps: str) -> list[tuple[int, int]]:
    """The parts of memory that a process's map lists, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for line in maps.splitlines():
        first, end = (int(text, 16) for text in line.split(" ", 1)[0].split("-"))
        if first >= TOP:
            continue
        if joined and first - joined[-1][1] < NEAR:
            first = joined.pop()[0]
        joined.append((first, end))
    return joined


def randomise() -> None:
    """Starts this program again where it was started without randomisation, which a sandbox may ask for.

    Does nothing where the system refuses: the comparison of the compilations notices equal addresses.
    """
    personality = ctypes.CDLL(None).personality
    now = personality(0xFFFFFFFF)
    if now > 0 and now & NO_RANDOMISATION and personality(now & ~NO_RANDOMISATION) >= 0:
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    randomise()
    compile_here()
