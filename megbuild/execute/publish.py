"""Publishing: the artifacts that passed appear under ``out/``, whole or not at all, with a small record beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from megbuild.declare.models import Tensor
from megbuild.execute.failure import ActionFailed
from megbuild.execute.memory import Memory
from megbuild.graph.actions import Action, Outputs
from megbuild.graph.analyse import Aim
from megbuild.graph.draft import ARTIFACT
from megbuild.graph.fingerprint import Fingerprint
from megbuild.store.digests import Digest
from megbuild.store.state import Published

RECORD = "record.json"
"""The file beside an artifact that says what it is and how it was verified."""


def published_folder(aim: Aim) -> PurePosixPath:
    """The folder of one output: ``out/<package>/<model>/<output>``."""
    model = aim.target.model
    return PurePosixPath("out", model.package, model.name, aim.target.output.name)


def artifact_files(aim: Aim) -> tuple[str, ...]:
    """Where the artifact's files of a label appear, the main one first: ``<folder>/<model><suffix>``."""
    return tuple(str(published_folder(aim) / f"{aim.target.model.name}{suffix}") for suffix in aim.files)


@dataclass
class Publisher:
    """Puts verdicts into effect: a failed one fails its label and leaves what was published before."""

    aims: Mapping[str, Aim]
    memory: Memory

    def publish(self, action: Action, now: Fingerprint, outputs: Outputs) -> dict[str, Published]:
        """Publish the artifact that a verdict is about; nothing to do for any other action.

        :raises ActionFailed: when the verdict is that it failed.
        :raises megbuild.store.content.Missing: when the store lost the artifact.
        """
        aim = self.aims.get(action.id)
        if aim is None:
            return {}
        verdict = json.loads(self.memory.content.read(outputs["verdict.json"]))
        if verdict["state"] == "fail":
            raise ActionFailed(action.id, "; ".join(verdict["misses"]), refused=True)
        folder = published_folder(aim)
        files = _files(aim, now)
        text = json.dumps(_record(aim, files, verdict, now), indent=1, sort_keys=True) + "\n"
        wanted = {str(folder / name): digest for name, digest in files.items()}
        wanted[str(folder / RECORD)] = self.memory.content.put_bytes(text.encode())
        return self.memory.publish(action.id, wanted)


def _files(aim: Aim, now: Fingerprint) -> dict[str, Digest]:
    """The published name of every file of the artifact: its own files by the model's name, others by their own."""
    found: dict[str, Digest] = {}
    prefix = f"in/{ARTIFACT}/"
    for path, digest in now.staged.items():
        if path.startswith(prefix):
            name = path.removeprefix(prefix)
            found[aim.target.model.name + name.removeprefix("model") if name.startswith("model.") else name] = digest
    return found


def _record(aim: Aim, files: dict[str, Digest], verdict: dict[str, Any], now: Fingerprint) -> dict[str, Any]:
    """What a reader of the artifact wants to know; nothing in it depends on time or place."""
    options = {name: value for step in aim.target.road for name, value in step.options}
    batch = int(options.get("batch", 1))
    return {
        "format": 1,
        "label": aim.label,
        "hardware": aim.target.hardware.name,
        "road": [step.rule.name for step in aim.target.road],
        "options": options,
        "files": {name: {"sha256": digest.sha256, "size": digest.size} for name, digest in sorted(files.items())},
        "inputs": [_tensor(tensor, batch) for tensor in aim.target.model.inputs],
        "results": [_tensor(tensor, batch) for tensor in aim.target.model.results],
        "verdict": verdict,
        "key": now.key,
    }


def _tensor(declared: Tensor, batch: int) -> dict[str, Any]:
    """As the artifact has it: declared is one sample."""
    shape = declared.shape if batch == 1 else (batch, *declared.shape[1:])
    return {"name": declared.name, "shape": list(shape), "dtype": declared.dtype}
