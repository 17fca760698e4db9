"""Workspaces with toy rules: real builds by the command line, with real boxes and zygotes, that take a second."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from tests.e2e.workspace import Running, Workspace

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

WORKER = '''
    import hashlib, json, os, time

    from megbuild_worker.job import NotHere


    def _make(job):
        """Every file of the artifact is made from all inputs, in two halves with a pause between them."""
        _held(job)
        told = hashlib.sha256(json.dumps([vars(job.options), job.settings], sort_keys=True).encode())
        for name in sorted(job.inputs):
            for path in job.inputs[name]:
                told.update(path.read_bytes())
        for path in (path for name, paths in sorted(job.outputs.items()) if name != "io" for path in paths):
            text = (path.name + told.hexdigest()).encode() * 700
            with open(path, "wb") as file:
                file.write(text[:30000])
                file.flush()
                time.sleep(0.01)
                file.write(text[30000:])


    def _held(job):
        """Wait until the log becomes longer: see Toys.held. The priority is what comes from the build into the box."""
        priority, until = os.getpriority(os.PRIO_PROCESS, 0), time.monotonic() + 200
        if priority == 17 or priority == 16 and "tm" in job.inputs:
            while os.fstat(1).st_size < 1000 and time.monotonic() < until:
                time.sleep(0.01)


    train = build = _make


    def describe(paths):
        return None


    def run(paths, feeds, job):
        for feed in feeds:
            yield {result.name: sum(feed.values()) for result in job.declared_results}


    def runtime():
        return "toy 1"
'''
RULES: dict[str, str] = {
    "trace/rule.py": """
        from megbuild.rule import Rule
        RULES = (
            Rule(consumes="training", produces="weights", files=(".weights",), toolchain="megengine", function="train"),
            Rule(consumes="source", produces="tm", files=(".tm",), toolchain="megengine",
                 needs=lambda options: ("weights",), runs_on=("MegEngine",)),
        )
    """,
    "mge/rule.py": """
        from megbuild.rule import Rule
        RULE = Rule(consumes="tm", produces="mge", files=(".mge",), toolchain="megengine", runs_on=("Lite",))
    """,
    "caffe/rule.py": """
        from megbuild.rule import Rule
        RULE = Rule(consumes="tm", produces="caffe", files=(".prototxt", ".caffemodel"), toolchain="convert", runs_on=("OpenCV",))
    """,
    "npu/rule.py": """
        from megbuild.rule import Rule
        RULE = Rule(consumes="caffe", produces="npu", files=(".npu",), toolchain="convert", runs_on=("simulator",))
    """,
    **{f"{name}/worker.py": WORKER for name in ("trace", "mge", "caffe", "npu")},
    "toolchains/megengine/toolchain.toml": 'python = "3.9"\nsummary = "numpy"\n[settings]\npreload = ["numpy"]\n',
    "toolchains/convert/toolchain.toml": 'python = "3.9"\nsummary = "numpy"\n[settings]\npreload = ["numpy", "decimal"]\n',
    "hardware.toml": '[x86]\nformat = "mge"\n[caffe]\nformat = "caffe"\n[chip]\nformat = "npu"\n[tm]\nformat = "tm"\n',
}
MODEL = """
    [models.{name}]
    source = "{name}.py:build"
    train = "train.py:train"
    inputs = [{{ name = "x", shape = [1, 3] }}]
    results = [{{ name = "y", shape = [1, 3] }}]
    [models.{name}.outputs.x86]
    [models.{name}.outputs.caffe]
    [models.{name}.outputs.chip]
"""
MODELS = ("one",)
FILES = {
    "MODELS.toml": "workspace = true\n" + "".join(dedent(MODEL.format(name=name)) for name in MODELS),
    "train.py": "def train(path): pass\n",
    **{f"{name}.py": f"def build(weights): return {name!r}\n" for name in MODELS},
}


def write_files(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")


def numpys_lock() -> str:
    """The lines of MegEngine's lock that pin numpy."""
    text = (REPOSITORY / "rules/toolchains/megengine/requirements.lock").read_text()
    match = re.search(r"^numpy==.*?(?=^\w)", text, re.DOTALL | re.MULTILINE)
    assert match
    return match[0]


@dataclass
class Toys:
    """Makes workspaces below ``folder``; the toolchains are installed once, in a cache that they share."""

    folder: Path
    made: int = 0
    spaces: list[Workspace] = field(default_factory=list)
    _wanted: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = self.folder / "rules"
        if not rules.exists():
            write_files(rules, RULES)
            for name in ("megengine", "convert"):
                (rules / f"toolchains/{name}/requirements.lock").write_text(numpys_lock())
        (self.folder / "toolchains").mkdir(exist_ok=True)

    def space(self, *, cache: Path | None = None, toolchains: bool = True) -> Workspace:
        """A workspace that nothing was built in, with a cache of its own or another one's."""
        self.made += 1
        folder = self.folder / f"{self.made}"
        cache = cache or folder / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        if toolchains and not (cache / "toolchains").exists():
            (cache / "toolchains").symlink_to(self.folder / "toolchains")
        write_files(folder / "workspace", FILES)
        command = [sys.executable, "-I", str(HERE / "doit.py"), str(self.folder / "rules")]
        space = Workspace(folder / "workspace", cache, command=command)
        self.spaces.append(space)
        return space

    def wanted(self) -> dict[str, bytes]:
        """What a build that nobody disturbs makes; they are all alike."""
        if not self._wanted:
            space = self.space()
            assert space.build().status == 0
            self._wanted = space.artifacts()
            self.drop(space)
        return self._wanted

    def drop(self, space: Workspace) -> None:
        """End what runs in it, and remove it."""
        space.end()
        self.spaces.remove(space)
        shutil.rmtree(space.root.parent)

    def end(self) -> None:
        """Leave no process of a failed test behind."""
        for space in self.spaces:
            space.end()


ALL, CONVERSIONS = 17, 16


def held(space: Workspace, what: int) -> Running:
    """A build whose actions (``ALL`` of them, or the ``CONVERSIONS``) run until ``space.wake()``, so that nothing depends on how fast it is."""
    return space.start(summary=False, before=lambda: os.setpriority(os.PRIO_PROCESS, 0, what))


def environment(space: Workspace) -> dict[str, str]:
    """The variables that a command in a workspace gets."""
    return {**os.environ, "MEGBUILD_CACHE": str(space.cache), "PYTHONUNBUFFERED": "1", **space.environment}
