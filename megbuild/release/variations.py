"""What the reproducibility check varies, and how: nothing of it may show in an artifact."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})
_STACK = 64 << 20
LEFT_OUT = {"out", ".megbuild", ".git", "dist", ".venv", "__pycache__", ".doit.db"}
"""What a copy of a workspace does without, at its root."""


@dataclass(frozen=True)
class Variation:
    """Another machine, as far as this one can play it.

    ``outside`` are variables of the process that builds, whose environment its actions must not see. ``inside`` are set
    for the actions themselves: switches by which numeric libraries choose their instructions.
    """

    name: str
    what: tuple[str, ...]
    outside: Mapping[str, str] = field(default_factory=lambda: _NONE)
    inside: Mapping[str, str] = field(default_factory=lambda: _NONE)
    umask: int = 0o022
    cores: int = 0
    """At most so many; 0 is all."""
    jobs: int = 1
    limited_stack: bool = False


ENVIRONMENT = Variation(
    "environment",
    (
        "folder of the workspace and order of its files on the disk",
        "HOME, TMPDIR and the user's variables, 5000 bytes more of them",
        "hash seed of every process outside of the box: random",
        "umask 077",
        "time zone and locale",
        "OMP_NUM_THREADS and its like",
        "one core, one job",
        "a stack of 64 MiB",
        "the time: later only, the clock itself is not set",
    ),
    outside={
        "TZ": "Pacific/Kiritimati",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "7",
        "OPENBLAS_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "5",
        "NOISE": "x" * 5000,
    },
    umask=0o077,
    cores=1,
    limited_stack=True,
)
PARALLEL = Variation(
    "parallel",
    ("all cores, four jobs at a time", "another folder, hash seed and time zone"),
    outside={"TZ": "America/St_Johns"},
    jobs=4,
)
SIMD = Variation(
    "SIMD",
    (
        "instructions that OpenBLAS (OPENBLAS_CORETYPE=Prescott), NumPy (NPY_DISABLE_CPU_FEATURES), oneDNN "
        "(ONEDNN_MAX_CPU_ISA, DNNL_MAX_CPU_ISA=SSE41) and MKL (MKL_CBWR=COMPATIBLE) may use",
    ),
    inside={
        "OPENBLAS_CORETYPE": "Prescott",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    },
    jobs=2,
)
ALL = (ENVIRONMENT, PARALLEL, SIMD)


def settle(variation: Variation) -> Callable[[], None]:
    """What a new process does before it builds so."""

    def before() -> None:
        os.umask(variation.umask)
        if variation.cores:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: variation.cores])
        if variation.limited_stack:
            _, most = resource.getrlimit(resource.RLIMIT_STACK)
            limit = _STACK if most == resource.RLIM_INFINITY else min(_STACK, most)
            resource.setrlimit(resource.RLIMIT_STACK, (limit, most))

    return before


def copy(root: Path, to: Path, without: Path) -> Path:
    """A copy of a workspace without what builds made, its files created in the other order.

    ``without`` is left out, too: megbuild's own rules, which a copy of megbuild's repository would have twice.
    """

    def backwards(folder: Path, target: Path, top: bool) -> None:
        target.mkdir(parents=True)
        for path in sorted(folder.iterdir(), reverse=True):
            if (top and path.name in LEFT_OUT) or path.name == "__pycache__" or path == without:
                continue
            if path.is_dir() and not path.is_symlink():
                if not (path / "pyvenv.cfg").exists():
                    backwards(path, target / path.name, False)
            else:
                shutil.copy2(path, target / path.name, follow_symlinks=False)

    backwards(root, to, True)
    return to
