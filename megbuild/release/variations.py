"""What the reproducibility check varies, and how: nothing of it may show in an artifact."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from megbuild.graph.actions import Action
from megbuild.graph.draft import WEIGHTS
from megbuild.release import elsewhere

_NONE: Mapping[str, str] = MappingProxyType({})
_STACK = 64 << 20
LEFT_OUT = {"out", ".megbuild", ".git", "dist", ".venv", "__pycache__", ".doit.db"}
"""What a copy of a workspace does without, at its root."""


@dataclass(frozen=True)
class Variation:
    """Another machine, as far as this one can play it.

    ``outside`` are variables of the process that builds, whose environment its actions must not see. ``inside`` are set
    for the actions themselves: switches by which numeric libraries choose their instructions. What needs a tool that is
    not here is not varied, and said by :meth:`lacking`.
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
    in_memory: bool = False
    """Whether the workspace lies in memory, where folders list what was made last first."""
    another_user: bool = False
    days: int = 0
    """How far ahead the calendar is, for megbuild and for the actions."""
    processor: str = ""
    """What the emulator calls it; empty is this one."""

    def lacking(self) -> tuple[str, ...]:
        """What it would vary and cannot, because a tool is not here."""
        wanted = (
            (self.days, "the clock", elsewhere.CLOCK, elsewhere.clock),
            (self.another_user, "the user's number", elsewhere.USERS, elsewhere.can_be_another),
            (
                self.in_memory,
                "the order of files in the listings of folders",
                elsewhere.MEMORY,
                lambda: elsewhere.memory(0),
            ),
        )
        return tuple(
            f"not varied: {what}, for want of {tool}" for asked, what, tool, there in wanted if asked and not there()
        )

    def possible(self) -> bool:
        """Whether it can be played here at all."""
        return not self.processor or elsewhere.emulator() is not None

    def runs(self, action: Action) -> bool:
        """Whether an action is run again. Training is not emulated: it would take twenty times as long or more."""
        return not (self.processor and action.makes == WEIGHTS)

    def through(self) -> tuple[str, ...]:
        """The program that runs the interpreters of actions."""
        return (str(elsewhere.emulator()), "-cpu", self.processor) if self.processor else ()


ENVIRONMENT = Variation(
    "environment",
    (
        "folder of the workspace",
        "order in which folders list their files: in memory, the last made first",
        "number of the user and of the group",
        "HOME, TMPDIR and the user's variables, 5000 bytes more of them",
        "hash seed of every process outside of the box: random",
        "umask 077",
        "the clock: 400 days ahead, inside of the box as well",
        "time zone and locale",
        "OMP_NUM_THREADS and its like",
        "one core, one job",
        "a stack of 64 MiB",
    ),
    outside={
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "C",
        "OMP_NUM_THREADS": "7",
        "OPENBLAS_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "5",
        "NOISE": "x" * 5000,
    },
    umask=0o077,
    cores=1,
    limited_stack=True,
    in_memory=True,
    another_user=True,
    days=400,
)
PARALLEL = Variation(
    "parallel",
    ("all cores, four jobs at a time", "another folder, hash seed, time zone and locale"),
    outside={"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8"},
    jobs=4,
)
SIMD = Variation(
    "SIMD",
    (
        "instructions that MKL (MKL_ENABLE_INSTRUCTIONS=SSE4_2), OpenBLAS (OPENBLAS_CORETYPE=Prescott), oneDNN (ONEDNN_MAX_CPU_ISA, DNNL_MAX_CPU_ISA=SSE41), "
        "NumPy (NPY_DISABLE_CPU_FEATURES) and OpenCV (OPENCV_CPU_DISABLE) may use",
    ),
    inside={
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Prescott",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
        "OPENCV_CPU_DISABLE": "AVX512_SKX,AVX512_ICL",
    },
    jobs=2,
)
HASWELL = Variation(
    "Haswell",
    ("actions, but for training, run on an emulated Intel processor with AVX2 and without AVX-512",),
    jobs=2,
    processor="Haswell",
)
EPYC = Variation(
    "EPYC",
    ("actions, but for training, run on an emulated AMD processor with AVX2 and without AVX-512",),
    jobs=2,
    processor="EPYC",
)
ALL = (ENVIRONMENT, PARALLEL, SIMD, HASWELL, EPYC)


def settle(variation: Variation) -> Callable[[], None]:
    """What a new process does before it builds so."""

    another = variation.another_user and elsewhere.can_be_another()

    def before() -> None:
        os.umask(variation.umask)
        if variation.cores:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: variation.cores])
        if variation.limited_stack:
            _, most = resource.getrlimit(resource.RLIMIT_STACK)
            limit = _STACK if most == resource.RLIM_INFINITY else min(_STACK, most)
            resource.setrlimit(resource.RLIMIT_STACK, (limit, most))
        if another:
            elsewhere.become_another()

    return before


def size(root: Path, without: Path) -> int:
    """Bytes of what :func:`copy` copies."""
    return sum(path.lstat().st_size for path in _kept(root, without, True))


def _kept(folder: Path, without: Path, top: bool = False) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), reverse=True):
        if (top and path.name in LEFT_OUT) or path.name == "__pycache__" or path == without:
            continue
        if not path.is_dir() or path.is_symlink():
            yield path
        elif not (path / "pyvenv.cfg").exists():
            yield from _kept(path, without)


def copy(root: Path, to: Path, without: Path) -> Path:
    """A copy of a workspace without what builds made, its files created in the other order.

    ``without`` is left out, too: megbuild's own rules, which a copy of megbuild's repository would have twice.
    """

    for path in _kept(root, without, True):
        target = to / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    return to
