"""What an analysis has made so far, and how an action that runs a worker is put together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from msgspec.structs import asdict, replace

from megbuild.declare.models import InstalledRule, Model, Toolchain, Workspace
from megbuild.errors import fail
from megbuild.graph.actions import Action, Leaf, Product
from megbuild.graph.code import Code, Remembered, worker_code
from megbuild.rule import Scalar
from megbuild.store.digests import digest_bytes
from megbuild.store.files import Files

ARTIFACT = "artifact"
"""Where an action that makes a format puts its files, below ``out/``."""

GOLDEN = "golden"
"""The first samples and the reference's results for them, which a release carries."""

REFERENCE = "tm"
"""The format that everything else is compared with."""

LOADS, PICKLE_NAMES = "megengine", "pickle_names.txt"
"""The toolchain that loads the reference format, which is a pickle, and its list of the names that one may hold."""

OPERATIONS = "operations.json"
"""The note of a traced network that says which line of the training code each operation comes from."""

WEIGHTS = "weights"
"""The format without inputs and results of its own: it has no I/O to be checked."""


@dataclass
class Draft:
    """What one call of :func:`analyse` has made so far."""

    workspace: Workspace
    files: Files
    code: Code
    core: tuple[Leaf, ...]
    """The code leaves of what the core computes."""
    remembered: Remembered
    actions: dict[str, Action] = field(default_factory=dict)
    toolchains: dict[str, Toolchain] = field(default_factory=dict)
    requests: dict[str, Mapping[str, list[str]]] = field(default_factory=dict)
    """The named inputs of each action that runs a worker."""
    codes: dict[tuple[str, str, str, tuple[str, ...]], tuple[Leaf, ...]] = field(default_factory=dict)
    """The code that has been looked up."""

    def fresh(self) -> Draft:
        """The draft of the next graph: no actions yet, and the same code."""
        return dataclasses.replace(self, actions={}, requests={})

    def code_of(self, rule: InstalledRule, function: str, toolchain: Toolchain) -> tuple[Leaf, ...]:
        """The code of an action that calls a rule's function; looked up once for all models."""
        wanted = (rule.folder, rule.rule.worker, function, toolchain.code)
        if wanted not in self.codes:
            with self.files.looking_for(""):  # all models
                self.codes[wanted] = worker_code(self.files, self.code, *wanted, self.remembered)
        return self.codes[wanted]

    def add(self, action: Action) -> str:
        """The action's id; another action that would take the same name gets a digest behind it."""
        known = self.actions.get(action.id)
        if known is not None and known != action:
            # what tells the two apart and not their contents: an edit must not make another action of it
            road = (action.step, sorted(action.options.items()), [product.action for product in action.products])
            action = _renamed(action, f"{action.id}-{digest_bytes(repr(road).encode()).sha256[:8]}")
            assert self.actions.get(action.id, action) == action, f"{action.id} is two different actions"
        self.actions.setdefault(action.id, action)
        return action.id


def core_arguments(step: str, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """The command of a step that the core computes: it has no request file, so its options stand here, in the key."""
    return ("megbuild", step, json.dumps(options, sort_keys=True))


def worker_action(
    draft: Draft,
    *,
    id: str,
    step: str,
    summary: str,
    model: Model,
    toolchain: Toolchain,
    rule: InstalledRule,
    function: str,
    request_inputs: Mapping[str, list[str]],
    request_outputs: Mapping[str, list[str]],
    inputs: Iterable[Leaf | Product],
    outputs: tuple[str, ...],
    options: Mapping[str, Scalar] | None = None,
    settings: Mapping[str, Any] | None = None,
    makes: str = "",
    artifact: tuple[str, ...] = (),
    secrets: Mapping[str, str] | None = None,
) -> str:
    """An action that runs a worker: its request and code are leaves beside the given inputs."""
    folder = PurePosixPath(rule.folder).name
    inputs = tuple(inputs)
    settings = {**(settings or {}), **_reviewed(draft, model, inputs)}
    told = makes != WEIGHTS  # a changed declaration must not train again: no weights depend on it
    request = {
        "function": function,
        "worker": f"code/rules/{folder}/{rule.rule.worker}",
        "inputs": dict(request_inputs),
        "outputs": dict(request_outputs),
        "options": dict(options or {}),
        "declared_inputs": [asdict(tensor) for tensor in model.inputs if told],
        "declared_results": [asdict(tensor) for tensor in model.results if told],
        "settings": {**settings, "runtime": list(rule.rule.runs_on), "version": rule.rule.version},
    }
    content = (json.dumps(request, indent=1, sort_keys=True) + "\n").encode()
    leaves = [*inputs, *draft.code_of(rule, function, toolchain)]
    leaves.append(Leaf("request.json", digest_bytes(content), "request", content=content, kind="request"))
    made = draft.add(
        Action(
            id=id,
            step=step,
            summary=summary,
            model=model.label,
            toolchain=toolchain.name,
            inputs=tuple(sorted(leaves, key=lambda entry: entry.path)),
            outputs=outputs,
            arguments=("python", "-B", "-s", "code/megbuild_worker/__main__.py", "request.json"),
            environment=toolchain.environment,
            options={**(options or {}), **(_declared(model) if told else {})},
            makes=makes,
            artifact=artifact,
            limits=model.limits.over(toolchain.limits),
            device=rule.rule.device,
            secrets=secrets or {},
        )
    )
    draft.requests[made] = request_inputs
    return made


def _reviewed(draft: Draft, model: Model, inputs: Iterable[Leaf | Product]) -> dict[str, Any]:
    """What MODELS.trust allows the pickles that this action may load: a delivered .tm, and data of training code."""
    there = {entry.digest.sha256 for entry in inputs if isinstance(entry, Leaf)}
    there |= {model.archive.sha256} if model.archive else set()
    trusted = {sha256: list(names) for sha256, names in draft.workspace.trusted.items() if sha256 in there}
    return {"trusted": trusted} if trusted else {}


def _declared(model: Model) -> dict[str, Scalar]:
    """The declared inputs and results, in the form in which a reason shows their change."""
    shown: dict[str, Scalar] = {}
    for kind, tensors in (("input", model.inputs), ("result", model.results)):
        for index, tensor in enumerate(tensors):
            low, high = tensor.range
            span = f" in [{low:g}, {high:g}]" if kind == "input" else ""
            shown[f"declared.{kind} {index + 1}"] = f"{tensor.name} {tensor.dtype}{list(tensor.shape)}{span}"
    return shown


def file_leaf(draft: Draft, path: str, staged: str) -> Leaf:
    """A file of the workspace as it is."""
    digest = draft.files.digest(path)
    if digest is None:
        raise fail("MB214", f"{path} is not there any more", "it was there when MODELS.toml was read: build again")
    return Leaf(staged, digest, path, origin=f"{draft.workspace.root}/{path}")


def globbed(draft: Draft, patterns: Iterable[str], folder: str) -> tuple[Leaf, ...]:
    """The files that the patterns match, each once, in the order of their paths."""
    found = sorted({path for pattern in patterns for path in draft.files.glob(pattern)})
    return tuple(file_leaf(draft, path, f"{folder}/{path}") for path in found)


def toolchain_of(draft: Draft, rule: InstalledRule, name: str) -> Toolchain:
    """The toolchain that a rule names."""
    try:
        return draft.toolchains[name]
    except KeyError:
        raise fail(
            "MB213",
            f"rule {rule.name} names a toolchain {name} that does not exist",
            "a toolchain is a folder with a toolchain.toml in rules/toolchains or the rule's own folder",
        ) from None


def artifact_files(draft: Draft, action: str, folder: str) -> list[str]:
    """The artifact's files as an action that stages them in ``folder`` finds them."""
    return [f"{folder}/{name}" for name in draft.actions[action].artifact]


def stem(name: str) -> str:
    """The name under which a worker finds the path of one of its notes."""
    return PurePosixPath(name).stem


def _renamed(action: Action, id: str) -> Action:
    return replace(action, id=id)
