"""Runs the conversion matrix: the driver in the mgeconvert toolchain, twice, and one table of what it answered."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megbuild.declare import toolchains
from megbuild.declare.rules import builtin_rules_folder, discover
from megbuild.execute.toolchains import Installed, provision
from megbuild.store.places import cache_folder

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FORMATS = ("onnx", "tflite", "caffe")
LIMIT = 300
"""Seconds for one conversion, and for one run of what came out."""

Matrix = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is to be run; ``stock`` and ``twice`` say whether stock mgeconvert runs beside, and whether bytes are compared."""

    families: Sequence[str]
    sizes: Sequence[str]
    stock: bool
    twice: bool
    command: str


def families() -> list[str]:
    """The names of all families: one module each."""
    return sorted(
        path.stem for path in (HERE / "networks").glob("*.py") if path.stem not in ("__init__", "parts", "registry")
    )


def run(asked: Asked) -> Matrix:
    """Runs all cells one after another; this takes a second or two for each, and more for full-size networks."""
    toolchain = provision(
        toolchains.describe("mgeconvert", toolchains.folders(builtin_rules_folder())), cache_folder(), print
    )
    started = time.monotonic()
    cells = [[format, "concrete"] for format in FORMATS]
    stock = [[format, "mgeconvert"] for format in FORMATS] if asked.stock else []
    with tempfile.TemporaryDirectory(prefix="conversion-") as folder:
        _stage(Path(folder) / "code")
        first = list(_drive(toolchain, asked, Path(folder), cells + stock, seed=0, again=False))
        second = list(_drive(toolchain, asked, Path(folder), cells, seed=1, again=True)) if asked.twice else []
    return {
        "runs": [{"command": asked.command, "seconds": round(time.monotonic() - started)}],
        "machine": _machine(),
        "versions": next(
            {k: v for k, v in answer.items() if k != "kind"} for answer in first if answer["kind"] == "versions"
        ),
        "networks": _gathered(first, second),
    }


def updated(before: Matrix, now: Matrix) -> Matrix:
    """The networks of both, those of ``now`` where they are in both; only for runs of the same versions and machine."""
    if any(before[what] != now[what] for what in ("machine", "versions")):
        raise SystemExit("the numbers there are of another machine, or of other versions: run everything anew")
    networks = {(network["family"], network["name"]): network for network in [*before["networks"], *now["networks"]]}
    return {**now, "runs": [*before["runs"], *now["runs"]], "networks": _ordered(networks.values())}


def _ordered(networks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(networks, key=lambda network: (network["family"], network["full"], network["name"]))


def _stage(code: Path) -> None:
    """Copies all code that takes part, so that what is edited meanwhile changes nothing in the middle of a run."""
    shutil.copytree(REPOSITORY / "megbuild/worker", code / "megbuild_worker")
    for name in (*FORMATS, "toolchains/mgeconvert", "toolchains/megengine"):
        shutil.copytree(builtin_rules_folder() / name, code / "rules" / name)
    shutil.copytree(HERE / "networks", code / "networks")
    shutil.copy(HERE / "driver.py", code)


def _options() -> dict[str, dict[str, Any]]:
    """What the rules are asked for where a model says nothing."""
    rules = [installed.rule for installed in discover(builtin_rules_folder(), None, REPOSITORY, []).rules]
    return {
        rule.produces: {name: option.default for name, option in rule.options.items()}
        for rule in rules
        if rule.produces in FORMATS and rule.consumes == "tm"
    }


def _drive(
    toolchain: Installed, asked: Asked, scratch: Path, cells: Sequence[Any], seed: int, again: bool
) -> Iterator[dict[str, Any]]:
    """The driver's answers, as they come; tells the progress."""
    request = {
        "scratch": str(scratch), "families": list(asked.families),
        "sizes": list(asked.sizes), "cells": cells, "again": again, "keep": asked.twice and not again, "limit": LIMIT, "options": _options(),
    }  # fmt: skip
    (scratch / "request.json").write_text(json.dumps(request))
    answers = scratch / f"answers-{seed}"
    answers.touch()
    environment = {"HOME": str(scratch), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": str(seed)}
    environment |= {**toolchain.environment, "TQDM_DISABLE": "1"}
    command = [toolchain.python, "-B", "-s", str(scratch / "code/driver.py"), "request.json", str(answers)]
    with (scratch / f"log-{seed}").open("w") as log, answers.open() as told:
        driver = subprocess.Popen(command, cwd=scratch, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            while True:
                ended = driver.poll() is not None
                while line := told.readline():
                    answer = json.loads(line)
                    _tell(answer, again)
                    yield answer
                if ended:
                    break
                time.sleep(0.1)
        finally:
            if driver.poll() is None:
                os.killpg(driver.pid, signal.SIGKILL)  # with the child at work
                driver.wait()
    if driver.returncode:
        raise SystemExit(
            f"the driver ended with status {driver.returncode}:\n" + (scratch / f"log-{seed}").read_text()[-4000:]
        )


def _tell(answer: dict[str, Any], again: bool) -> None:
    if answer["kind"] == "started":
        place = f"{answer['number']} of {answer['count']}" + (", again" if again else "")
        print(f"{answer['family']}: {answer['name']} ({place})", flush=True)
    elif (answer["kind"] == "cell" and not again) or answer.get("outcome") in ("broken", "crashes"):
        where = f"{answer.get('format', 'tracing'):7} {answer.get('lowering', ''):10}"
        numbers = " ".join(f"{key} {answer[key]}" for key in ("error", "seconds") if key in answer)
        print(f"    {where} {answer['outcome']:9} {numbers} {answer.get('said', '')[:200]}".rstrip(), flush=True)


def _gathered(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each network with its cells; ``same`` where two conversions were compared."""
    digests = {_key(answer): answer.get("digest") for answer in second if answer["kind"] == "cell"}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for answer in first:
        if answer["kind"] == "network":
            entry: dict[str, Any] = {
                key: answer[key] for key in ("family", "name", "full", "weights", "inputs", "results") if key in answer
            }
            if answer["outcome"] != "traced":
                print(f"left out, because it cannot be traced: {answer['name']}: {answer['said']}")
                continue
            found[answer["family"], answer["name"]] = {**entry, "cells": {}}
        elif answer["kind"] == "cell":
            cell: dict[str, Any] = {
                key: answer[key]
                for key in ("outcome", "said", "error", "seconds", "cpu", "memory", "size")
                if key in answer
            }
            if "said" in cell:
                cell["said"] = re.sub(r" at 0x[0-9a-f]+", "", cell["said"])  # would differ from run to run
            if _key(answer) in digests and "digest" in answer:
                cell["same"] = digests[_key(answer)] == answer["digest"]
            cells = found[answer["family"], answer["name"]]["cells"]
            cells.setdefault(answer["format"], {})["lowered" if answer["lowering"] == "concrete" else "stock"] = cell
    return _ordered(found.values())


def _key(answer: dict[str, Any]) -> tuple[str, ...]:
    return answer["family"], answer["name"], answer["format"], answer["lowering"]


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    return {"cores": cores, "memory_gib": round(memory / 2**30), "system": f"{platform.system()} {platform.machine()}"}
