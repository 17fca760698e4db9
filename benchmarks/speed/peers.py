"""The same graph for other build tools: same sources, same four actions per model, every action a ``cat``.

They keep all four formats, in one folder per package, ``made/<package>/<model>.<format>``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from speed import bazel
from speed.graph import SHARED, STEPS, Model, models
from speed.measure import Command, once

PACKAGES = {
    "ninja": "ninja==1.13.0",
    "doit": "doit==0.37.0",
    "scons": "scons==4.10.1",
    "snakemake": "snakemake==9.27.0",
    "dvc": "dvc==3.67.0",
}
"""Where a peer comes from; make is the system's."""


def install(peer: str, folder: Path) -> str:
    """The peer's program, installed into an environment of its own below ``folder``."""
    if peer == "bazel":
        return bazel.install(folder)
    if peer not in PACKAGES:
        found = shutil.which(peer)
        return found or sys.exit(f"there is no {peer} on this machine")
    environment = folder / peer
    program = environment / "bin" / peer
    if not program.exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
        wanted = [PACKAGES[peer], "tomli"]
        python = environment / "bin" / "python"
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
    if peer == "ninja":  # the wheel's script only starts the program that lies elsewhere in it
        return str(next(environment.glob("lib/*/site-packages/ninja/data/bin/ninja"), program))
    return str(program)


def version(program: str) -> str:
    """What the peer calls itself."""
    if Path(program).name.startswith("bazel"):
        return bazel.version(program)
    lines = once(Command((program, "--version"), Path.cwd())).strip().splitlines()
    return next((line.strip() for line in lines if re.search(r"\d\.\d", line)), lines[0])


def actions(model: Model) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """The actions of a model: the format, the files read, the file made."""
    made = f"made/{model.package}/{model.name}"
    for form, source in STEPS.items():
        yield form, (model.source, SHARED) if source == "source" else (f"{made}.{source}",), f"{made}.{form}"


def command(peer: str, program: str, root: Path, count: int) -> Command:
    """Write the peer's build file into the workspace; the command that builds everything."""
    if peer == "bazel":
        bazel.write(root, models(count))
        return bazel.command(program, root)
    for model in models(count):
        (root / "made" / model.package).mkdir(parents=True, exist_ok=True)
    words = _WRITERS[peer](root, count)
    return Command((program, *words), root)


def _ninja(root: Path, count: int) -> tuple[str, ...]:
    lines = [f"rule {form}\n  command = cat $in > $out && echo {form} >> $out\n" for form in STEPS]
    for model in models(count):
        lines += [f"build {made}: {form} {' '.join(read)}\n" for form, read, made in actions(model)]
    (root / "build.ninja").write_text("builddir = made\n" + "".join(lines))
    return ("--quiet",)


def _make(root: Path, count: int) -> tuple[str, ...]:
    lines = ["MAKEFLAGS += -rR\n.SUFFIXES:\nall:\n"]
    wanted = []
    for model in models(count):
        for form, read, made in actions(model):
            lines.append(f"{made}: {' '.join(read)}\n\t@cat $^ > $@ && echo {form} >> $@\n")
            wanted += [made] if form in ("fmge", "frknn") else []
    lines.append("all: \\\n  " + " \\\n  ".join(wanted) + "\n")
    (root / "Makefile").write_text("".join(lines))
    return ("-s", "-j2")


def _doit(root: Path, count: int) -> tuple[str, ...]:
    (root / "dodo.py").write_text(f"""\
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from speed.graph import models
from speed.peers import actions

DOIT_CONFIG = {{"backend": "json", "dep_file": "made/doit.json", "verbosity": 1, "reporter": "executed-only"}}


def task_m():
    for model in models({count}):
        for form, read, made in actions(model):
            command = f"cat {{' '.join(read)}} > {{made}} && echo {{form}} >> {{made}}"
            yield {{"name": f"{{model.name}}.{{form}}", "file_dep": list(read), "targets": [made], "actions": [command]}}
""")
    return ("run",)


def _scons(root: Path, count: int) -> tuple[str, ...]:
    (root / "SConstruct").write_text(f"""\
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from speed.graph import models
from speed.peers import actions

env = Environment(tools=[])
Decider("content-timestamp")
SConsignFile("made/sconsign")
for model in models({count}):
    for form, read, made in actions(model):
        env.Command(made, list(read), f"@cat $SOURCES > $TARGET && echo {{form}} >> $TARGET")
""")
    return ("-Q", "-s", "-j2")


def _snakemake(root: Path, count: int) -> tuple[str, ...]:
    parts = [f"{model.package}/{model.name}" for model in models(count)]
    rules = [
        f"rule all:\n    input: [f'made/{{p}}.{{form}}' for p in {parts!r} for form in ('fmge', 'frknn')]\n",
        f"rule ftm:\n    input: '{{p}}.py', '{SHARED}'\n    output: 'made/{{p}}.ftm'\n",
    ]
    rules += [
        f"rule {form}:\n    input: 'made/{{p}}.{source}'\n    output: 'made/{{p}}.{form}'\n"
        for form, source in STEPS.items()
        if source != "source"
    ]
    shell = "    shell: 'cat {input} > {output} && echo {rule} >> {output}'\n"
    (root / "Snakefile").write_text(rules[0] + "".join(rule + shell for rule in rules[1:]))
    return ("--quiet", "all", "--cores", "2")


def _dvc(root: Path, count: int) -> tuple[str, ...]:
    if not (root / ".dvc").exists():
        program = install("dvc", root.parent / "peers")
        once(Command((program, "init", "--no-scm", "--quiet"), root))
    lines = ["stages:\n"]
    for model in models(count):
        for form, read, made in actions(model):
            run = f"cat {' '.join(read)} > {made} && echo {form} >> {made}"
            deps = "".join(f"    - {path}\n" for path in read)
            lines.append(
                f"  {model.name}_{form}:\n    cmd: {run}\n    deps:\n{deps}    outs:\n    - {made}:\n        cache: false\n"
            )
    (root / "dvc.yaml").write_text("".join(lines))
    return ("repro", "--quiet")


def end(peer: str, program: str, root: Path) -> None:
    """Stop what the peer has left running."""
    if peer == "bazel":
        bazel.end(program, root)


_WRITERS = {
    "ninja": _ninja,
    "make": _make,
    "doit": _doit,
    "scons": _scons,
    "snakemake": _snakemake,
    "dvc": _dvc,
}
