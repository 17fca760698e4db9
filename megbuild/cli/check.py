"""``doit check LABEL``: every action again, in a varied environment, and every output compared bit by bit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbuild.cli.command import Command
from megbuild.errors import FAILED, fail

if TYPE_CHECKING:
    from megbuild.execute.memory import Memory
    from megbuild.graph.actions import Action, Outputs
    from megbuild.pipeline import Prepared
    from megbuild.release.score import Again
    from megbuild.release.variations import Variation

_TEXT = {"short": "", "type": str, "default": ""}


class Check(Command):
    """The command plug-in."""

    name = "check"
    doc_purpose = "check that actions are reproducible: run them again in varied environments and compare"
    doc_usage = "[LABEL ...] [--only VARIATION,...] [--write FILE] [--json FILE]"
    doc_description = (
        "The labels are built first where they are stale. Variations: environment, parallel, SIMD, Haswell, EPYC."
    )
    cmd_options = (
        {**_TEXT, "name": "only", "long": "only", "help": "some variations, with commas between them [default: all]"},
        {
            **_TEXT,
            "name": "write",
            "long": "write",
            "help": "write the scores to this file, as docs/reproducibility.md",
        },
        {**_TEXT, "name": "json", "long": "json", "help": "write the scores to this file as JSON"},
    )

    def execute(self, params: dict[str, Any], labels: list[str]) -> int:
        """Called by doit with the parsed command line; the exit status."""
        from megbuild.cli.guard import guarded

        return guarded(lambda: _using_the_cache(labels, params["only"], params["write"], params["json"]))


def _using_the_cache(labels: Sequence[str], only: str, write: str, as_json: str) -> int:
    from megbuild.declare.root import find
    from megbuild.pipeline import cached

    with cached(Path(find(Path.cwd())), _say):
        return _check(labels, only, write, as_json)


def _check(labels: Sequence[str], only: str, write: str, as_json: str) -> int:
    from megbuild.cli.build import build_labels
    from megbuild.pipeline import Asked, forget, prepare
    from megbuild.release.score import page, score
    from megbuild.release.variations import ALL
    from megbuild.store.recovery import hand_over

    wanted = only.split(",") if only else [variation.name for variation in ALL]
    variations = [variation for variation in ALL if variation.name in wanted]
    if unknown := set(wanted) - {variation.name for variation in ALL}:
        raise fail("MB401", f"doit check has no variation {min(unknown)}", f"{', '.join(v.name for v in ALL)}")
    if not all(variation.possible() for variation in variations):
        print("Haswell and EPYC: not run, for want of qemu-x86_64 (Debian: qemu-user-static)")
        variations = [variation for variation in variations if variation.possible()]
    if status := build_labels(list(labels)):
        return status
    asked = Asked(tuple(labels), Path.cwd())
    prepared = prepare(asked, _say)
    if lost := [id for id in _all(prepared) if not prepared.memory.holds(prepared.memory.last_outputs(id))]:
        forget(asked, _say, lost)
        if status := build_labels(list(labels)):
            return status
        prepared = prepare(asked, _say)
    every = _all(prepared)
    baseline = {id: prepared.memory.last_outputs(id) for id in every}
    actions = {id: action for id, action in every.items() if action.toolchain}  # the core's own are pure
    patterns = [aim.label for aim in prepared.graph.aims]
    results = {}
    for variation in variations:
        again = {id: action for id, action in actions.items() if variation.runs(action)}
        print(f"{variation.name}: {len(again)} actions again", flush=True)
        for sentence in variation.lacking():
            print(f"  {sentence}", flush=True)
        now = run_again(prepared.root, variation, patterns, baseline, list(again))
        results[variation.name] = compared(again, every, baseline, now)
        tell(results[variation.name], prepared.memory)
    scores = score(results)
    for rule, counted in scores.items():
        told = ", ".join(f"{name} {same} of {of}" for name, (same, of) in counted.items())
        print(f"{rule:<28} {told}")
    if as_json:
        hand_over(Path(as_json), f"{json.dumps(scores, indent=1)}\n".encode(), print)
    if write:
        made_by = f"doit check {' '.join(labels or ['//...'])} --write {write}"
        hand_over(Path(write), page(scores, variations, made_by, processor()).encode(), print)
    return 1 if any(again.differing for found in results.values() for again in found) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _all(prepared: Prepared) -> dict[str, Action]:
    """The actions of the labels, each after those it needs."""
    graph = prepared.graph
    return {action.id: action for aim in graph.aims for action in graph.closure(aim.label)}


def compared(
    ids: Iterable[str], actions: Mapping[str, Action], baseline: Mapping[str, Outputs], now: Mapping[str, Any]
) -> list[Again]:
    """What each action made then and now."""
    from megbuild.release.score import Again

    found = []
    for id in ids:
        told, action = now.get(id, "it was not run"), actions[id]
        rule = action.step
        if rule in ("expected", "measured"):  # the format decides which runtime it drives
            formats = (actions[product.action].makes for product in action.products if product.output == "artifact")
            rule = f"{rule}, {next(formats, '')}"
        failure = told if isinstance(told, str) else ""
        found.append(Again(id, rule, baseline[id], {} if isinstance(told, str) else told, failure))
    return found


def tell(found: Sequence[Again], memory: Memory) -> None:
    """Print all differing outputs with their differences."""
    from megbuild.release.difference import difference, diffoscope

    for again in found:
        if again.failure:
            print(f"  {again.id} failed: {again.failure}")
            continue
        for path in again.differing:
            if path not in again.was or path not in again.now:
                print(f"  {again.id}: {path} is there only {'before' if path in again.was else 'now'}")
                continue
            was, now = memory.content.read(again.was[path]), memory.content.read(again.now[path])
            print(f"  {again.id}: {path} differs")
            for line in [*difference(path, was, now), *diffoscope(path, was, now)]:
                print(f"      {line}")


def run_again(
    root: Path, variation: Variation, labels: Sequence[str], baseline: Mapping[str, Outputs], ids: Sequence[str]
) -> dict[str, Outputs | str]:
    """Run the actions again in a copy of the workspace, in a process of its own; what each made, or why it failed."""
    from megbuild.declare.rules import builtin_rules_folder
    from megbuild.release import elsewhere
    from megbuild.release.variations import copy, settle, size
    from megbuild.store.digests import Digest
    from megbuild.store.places import CACHE_VARIABLE, cache_folder

    where = elsewhere.memory(size(root, builtin_rules_folder())) if variation.in_memory else None
    with tempfile.TemporaryDirectory(prefix=f"megbuild check {variation.name} ", dir=where) as temporary:
        folder = copy(root, Path(temporary, "elsewhere", "ws"), builtin_rules_folder())
        spec, answer = Path(temporary, "spec.json"), Path(temporary, "answer.json")
        wanted = {id: {path: [d.sha256, d.size] for path, d in outputs.items()} for id, outputs in baseline.items()}
        inside, shown, outside = dict(variation.inside), [], dict(variation.outside)
        if variation.days and (library := elsewhere.clock()):
            inside |= elsewhere.preloaded(library, variation.days)
            outside |= elsewhere.preloaded(library, variation.days)
            shown.append(str(library.parent))
        said = {"labels": list(labels), "baseline": wanted, "again": list(ids), "jobs": variation.jobs}
        said |= {"inside": inside, "shown": shown, "through": variation.through()}
        spec.write_text(json.dumps(said))
        home = Path(temporary, "home")
        home.mkdir()
        environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home), CACHE_VARIABLE: str(cache_folder())}
        command = [sys.executable, "-I"]  # not with the workspace's own modules; its hash seed is a random one
        done = subprocess.run(
            [*command, "-m", "megbuild.cli.again", str(spec), str(answer)],
            cwd=folder,
            env={**environment, **outside},
            preexec_fn=settle(variation),
            check=False,
        )
        if not answer.is_file():
            raise fail("MB730", f"the check of {variation.name} ended with {done.returncode}", status=FAILED)
        told = json.loads(answer.read_text())
    return {
        id: outputs if isinstance(outputs, str) else {path: Digest(*entry) for path, entry in outputs.items()}
        for id, outputs in told.items()
    }


def processor() -> str:
    """What the kernel calls this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
