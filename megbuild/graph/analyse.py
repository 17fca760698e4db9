"""Analyse: roads become actions. Two outputs that share a step share its action.

Per model the actions are ``#weights`` (training), ``#tm`` and the further formats of its roads, ``#expected`` (what
the .tm answers to the samples), one ``...+measured`` for every artifact that can run here, and one verdict per output,
whose id is the label itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from megbuild.declare.models import InstalledRule, Model, Toolchain, Workspace
from megbuild.errors import MegbuildError, Problem, fail
from megbuild.graph import sources
from megbuild.graph.actions import CORE, Action, Leaf, Product
from megbuild.graph.code import Code, Remembered, core_code, worker_code
from megbuild.graph.resolve import Step, Target, side_road, start_of
from megbuild.rule import Scalar
from megbuild.store.digests import digest_bytes
from megbuild.store.files import Files

ARTIFACT = "artifact"
"""Where an action that makes a format puts its files, below ``out/``."""
GOLDEN = "golden"
"""The first samples and the reference's results for them, which a release carries."""
REFERENCE = "tm"
"""The format that everything else is compared with."""
OPERATIONS = "operations.json"
"""The note of a traced network that says which line of the training code each operation comes from."""
WEIGHTS = "weights"
"""The format without inputs and results of its own: it has no I/O to be checked."""


class Aim(Struct, frozen=True):
    """A target with the actions that end in it: the artifact's, the measurement's ('' when it does not run here)."""

    target: Target
    artifact: str
    measured: str

    @property
    def label(self) -> str:
        """Also the id of the verdict's action."""
        return self.target.label

    @property
    def files(self) -> tuple[str, ...]:
        """The suffixes of the artifact's files."""
        return self.target.road[-1].rule.rule.files if self.target.road else (f".{self.target.hardware.format}",)


class Graph(Struct, frozen=True):
    """The actions by id, each after those it needs, and the aims they serve."""

    actions: Mapping[str, Action]
    aims: tuple[Aim, ...]
    toolchains: Mapping[str, Toolchain]

    def closure(self, id: str) -> tuple[Action, ...]:
        """An action with all that it needs, inputs first."""
        found: dict[str, Action] = {}

        def visit(name: str) -> None:
            if name not in found:
                for product in self.actions[name].products:
                    visit(product.action)
                found[name] = self.actions[name]

        visit(id)
        return tuple(found.values())


@dataclass
class _Draft:
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


def analyse(
    workspace: Workspace,
    targets: Iterable[Target],
    environments: Mapping[str, Toolchain],
    files: Files,
    code: Code,
    remembered: Remembered | None = None,
) -> Graph:
    """The actions that make and verify ``targets``.

    :param environments: for every ``environment`` lock that a model names, MegEngine's toolchain with it added.
    :param code: where megbuild's own code lies that the results depend on.
    :param remembered: what earlier builds found out about that code.
    :raises MegbuildError: with everything that the models' own files make impossible (MB210 to MB214).
    """
    draft = _Draft(
        workspace,
        files,
        code,
        core_code(files, code),
        {} if remembered is None else remembered,
        toolchains={**workspace.toolchains, **{t.name: t for t in environments.values()}},
    )
    aims: list[Aim] = []
    problems: list[Problem] = []
    for target in targets:
        try:
            with files.looking_for(target.model.label):
                aims.append(_aim(draft, target, environments))
        except MegbuildError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise MegbuildError(tuple(problems))
    return Graph(draft.actions, tuple(aims), draft.toolchains)


def _aim(draft: _Draft, target: Target, environments: Mapping[str, Toolchain]) -> Aim:
    model = target.model
    for folder in model.searched:
        draft.files.listed(folder)
    environment = environments.get(model.environment)
    made = _start(draft, model)
    trail: list[str] = [made] if made else []
    for step in target.road:
        made = _convert(draft, model, step, made, environment)
        trail.append(made)
    measured = ""
    if target.hardware.runs_here and _runner(draft, target.hardware.format):
        measured = _measure(draft, target, made, _reference(draft, target, trail, environment))
    _verdict(draft, target, made, measured)
    return Aim(target, made, measured)


def _start(draft: _Draft, model: Model) -> str:
    """The action that checks a delivered file against its pin; '' for a model that starts as training code."""
    pinned = model.archive or model.onnx
    if pinned is None:
        return ""
    form = start_of(model)
    leaf = _file(draft, pinned.path, f"in/model.{form}")
    return draft.add(
        Action(
            id=f"{model.label}#{form}",
            step="delivered",
            summary=f"check {pinned.path}",
            model=model.label,
            toolchain=CORE,
            inputs=(leaf, *draft.core),
            outputs=(ARTIFACT,),
            arguments=_core_arguments("delivered", {"sha256": pinned.sha256}),
            options={"sha256": pinned.sha256},
            makes=form,
            artifact=(f"model.{form}",),
        )
    )


def _convert(draft: _Draft, model: Model, step: Step, before: str, environment: Toolchain | None) -> str:
    """The action of one step of a road; the things that it needs beside the road come first."""
    rule = step.rule.rule
    form = draft.actions[before].makes if before else ""
    inputs: list[Leaf | Product] = []
    request: dict[str, list[str]] = {}
    settings: dict[str, Any] = {}
    if before:
        inputs.append(Product(f"in/{form}", before, ARTIFACT))
        request[form] = _artifact_files(draft, before, f"in/{form}")
    else:
        entry = model.train if "training" in rule.sources else model.source
        assert entry is not None
        settings = {"entry": f"{entry.file}:{entry.function}", "root": "in/source"}
        inputs += _training_code(draft, model, entry.file)
    for need in rule.needs(_Namespace(dict(step.options))):
        inputs += _need(draft, model, step, need, request, environment)
    toolchain = _toolchain(draft, step.rule, rule.toolchain)
    if environment is not None and not before:
        toolchain = environment
    artifact = tuple(f"model{suffix}" for suffix in rule.files)
    beside = rule.notes if rule.produces == WEIGHTS else ("io.json", *rule.notes)
    return _worker_action(
        draft,
        id=f"{model.label}#{step.name}",
        step=step.rule.name,
        summary=f"{_VERBS.get(rule.produces, rule.produces)} {model.label}",
        model=model,
        toolchain=toolchain,
        rule=step.rule,
        function=rule.function,
        request_inputs=request,
        request_outputs={
            "artifact": [f"out/{ARTIFACT}/{name}" for name in artifact],
            **{_stem(name): [f"out/{name}"] for name in beside},
        },
        inputs=inputs,
        outputs=(ARTIFACT, *beside),
        options=dict(step.options),
        settings=settings,
        makes=rule.produces,
        artifact=artifact,
    )


_VERBS = {"weights": "train", "tm": "trace"}


def _need(
    draft: _Draft, model: Model, step: Step, need: str, request: dict[str, list[str]], environment: Toolchain | None
) -> list[Leaf | Product]:
    """What a step reads beside the road: calibration samples, or a format made from another start (weights)."""
    if need == "calibration":
        leaves = _globbed(draft, model.calibration, "in/calibration")
        if not leaves:
            raise fail(
                "MB211",
                f"{model.label}: {step.rule.name} needs calibration samples",
                'add calibration = "calib/*.npy" to the model: real inputs, some hundred',
                model.where,
            )
        request["calibration"] = [leaf.path for leaf in leaves]
        return list(leaves)
    if need == "weights" and model.train is None:
        return []
    road = side_road(draft.workspace.rules, "training", need)
    if road is None or model.train is None:
        raise fail(
            "MB212",
            f"{model.label}: {step.rule.name} needs {need}, and no rule makes it from training code",
            "",
            model.where,
        )
    made = ""
    for side in road:
        made = _convert(draft, model, side, made, environment)
    request[need] = _artifact_files(draft, made, f"in/{need}")
    return [Product(f"in/{need}", made, ARTIFACT)]


def _reference(draft: _Draft, target: Target, trail: list[str], environment: Toolchain | None) -> str:
    """The action that runs the reference on the samples; a road that does not pass through it gets one of its own.

    The reference is the .tm of training code, and for a delivered file that file itself.
    """
    model = target.model
    form = REFERENCE if start_of(model) == "source" else start_of(model)
    made = next((action for action in trail if draft.actions[action].makes == form), "")
    if not made:
        made = _start(draft, model)
        for side in side_road(draft.workspace.rules, start_of(model), form) or ():
            made = _convert(draft, model, side, made, environment)
    runner = _runner(draft, form)
    if runner is None or not made:
        raise _nothing_to_compare_with(model, target)
    samples = _globbed(draft, model.samples, "in/samples")
    return _worker_action(
        draft,
        id=f"{model.label}#expected",
        step="expected",
        summary=f"run the .{form} of {model.label} on its samples",
        model=model,
        toolchain=_toolchain(draft, runner, runner.rule.run_toolchain or runner.rule.toolchain),
        rule=runner,
        function="expect",
        request_inputs={
            "artifact": _artifact_files(draft, made, "in/artifact"),
            "samples": [leaf.path for leaf in samples],
        },
        request_outputs={"results": ["out/results"], GOLDEN: [f"out/{GOLDEN}"]},
        inputs=[Product("in/artifact", made, ARTIFACT), *samples],
        outputs=("results", GOLDEN),
    )


def _runner(draft: _Draft, form: str, maker: InstalledRule | None = None) -> InstalledRule | None:
    """The rule whose worker runs artifacts of a format: the one that made it if it can, else any other that makes it."""
    makers = [rule for rule in draft.workspace.rules if rule.rule.produces == form and rule.rule.runs_on]
    return maker if maker in makers else next(iter(makers), None)


def _nothing_to_compare_with(model: Model, target: Target) -> MegbuildError:
    message = f"{model.label}: no rules make and run a .{REFERENCE} from its {start_of(model)}, so nothing can be compared with it"
    return fail("MB215", message, "install the rule that is missing", target.output.where)


def _measure(draft: _Draft, target: Target, made: str, expected: str) -> str:
    """The action that runs an artifact on its runtime and compares it with what the reference answered."""
    model = target.model
    rule = _runner(draft, target.hardware.format, target.road[-1].rule if target.road else None)
    assert rule is not None, target.hardware.format  # else there is nothing to measure
    samples = _globbed(draft, model.samples, "in/samples")
    request = {
        "artifact": _artifact_files(draft, made, "in/artifact"),
        "expected": [f"in/expected/{result.name}.npy" for result in model.results],
        "samples": [leaf.path for leaf in samples],
    }
    inputs: list[Leaf | Product] = [
        Product("in/artifact", made, ARTIFACT),
        Product("in/expected", expected, "results"),
        *samples,
    ]
    if model.labels:
        inputs.append(_file(draft, model.labels, "in/labels.npy"))
        request["labels"] = ["in/labels.npy"]
    builder = draft.actions[made]
    if rule.rule.runs_from_inputs:
        request |= {name: paths for name, paths in draft.requests.get(made, {}).items() if name not in request}
        inputs += [entry for entry in builder.inputs if not (isinstance(entry, Leaf) and entry.kind != "file")]
    return _worker_action(
        draft,
        id=f"{made}+measured",
        step="measured",
        summary=f"run {made} on {', '.join(rule.rule.runs_on)}",
        model=model,
        toolchain=_toolchain(draft, rule, rule.rule.run_toolchain or rule.rule.toolchain),
        rule=rule,
        function="measure",
        request_inputs=request,
        request_outputs={"measures": ["out/measures.json"]},
        inputs=inputs,
        outputs=("measures.json",),
        options={name: value for name, value in builder.options.items() if not name.startswith("declared.")}
        if builder.toolchain
        else {},
    )


def _verdict(draft: _Draft, target: Target, made: str, measured: str) -> None:
    """The verdict of an output: thresholds and budget against the measures; computed by the core."""
    asked = {f"verify.{name}": value for name, value in asdict(target.output.verify).items() if value is not None}
    if target.output.budget.size_mb is not None:
        asked["budget.size_mb"] = target.output.budget.size_mb
    if target.hardware.runs_here is False:
        asked["not_run"] = f"{target.hardware.name} cannot run on the build machine"
    precision = dict(target.road[-1].options).get("precision", "") if target.road else ""
    options: dict[str, Scalar] = {**asked, "precision": precision}
    inputs: list[Leaf | Product] = [Product("in/artifact", made, ARTIFACT), *draft.core]
    if measured:
        inputs.append(Product("in/measures.json", measured, "measures.json"))
    draft.add(
        Action(
            id=target.label,
            step="verdict",
            summary=f"judge {target.label}",
            model=target.model.label,
            toolchain=CORE,
            inputs=tuple(inputs),
            outputs=("verdict.json",),
            arguments=_core_arguments("verdict", options),
            options=options,
        )
    )


def _core_arguments(step: str, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """The command of a step that the core computes: it has no request file, so its options stand here, in the key."""
    return ("megbuild", step, json.dumps(options, sort_keys=True))


def _worker_action(
    draft: _Draft,
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
) -> str:
    """An action that runs a worker: its request and code are leaves beside the given inputs."""
    folder = PurePosixPath(rule.folder).name
    told = makes != WEIGHTS  # a changed declaration must not train again: no weights depend on it
    request = {
        "function": function,
        "worker": f"code/rules/{folder}/{rule.rule.worker}",
        "inputs": dict(request_inputs),
        "outputs": dict(request_outputs),
        "options": dict(options or {}),
        "declared_inputs": [asdict(tensor) for tensor in model.inputs if told],
        "declared_results": [asdict(tensor) for tensor in model.results if told],
        "settings": {**(settings or {}), "runtime": list(rule.rule.runs_on), "version": rule.rule.version},
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
            device=rule.rule.device,
        )
    )
    draft.requests[made] = request_inputs
    return made


def _declared(model: Model) -> dict[str, Scalar]:
    """The declared inputs and results, in the form in which a reason shows their change."""
    shown: dict[str, Scalar] = {}
    for kind, tensors in (("input", model.inputs), ("result", model.results)):
        for index, tensor in enumerate(tensors):
            low, high = tensor.range
            span = f" in [{low:g}, {high:g}]" if kind == "input" else ""
            shown[f"declared.{kind} {index + 1}"] = f"{tensor.name} {tensor.dtype}{list(tensor.shape)}{span}"
    return shown


def _training_code(draft: _Draft, model: Model, entry: str) -> list[Leaf]:
    closure = sources.closure(
        entry, lambda path: draft.files.digest(path) is not None, draft.files.text, meaning=model.hash == "meaning"
    )
    leaves = []
    for file in closure:
        content = file.text.encode()
        leaves.append(
            Leaf(
                f"in/source/{file.path}",
                digest_bytes(content),
                file.path,
                content=content,
                seen=digest_bytes(file.written.encode()).sha256,
            )
        )
    staged = {leaf.path for leaf in leaves}
    return leaves + [
        leaf for path in model.data if (leaf := _file(draft, path, f"in/source/{path}")).path not in staged
    ]


def _file(draft: _Draft, path: str, staged: str) -> Leaf:
    """A file of the workspace as it is."""
    digest = draft.files.digest(path)
    if digest is None:
        raise fail("MB214", f"{path} is not there any more", "it was there when MODELS.toml was read: build again")
    return Leaf(staged, digest, path, origin=f"{draft.workspace.root}/{path}")


def _globbed(draft: _Draft, patterns: Iterable[str], folder: str) -> tuple[Leaf, ...]:
    """The files that the patterns match, each once, in the order of their paths."""
    found = sorted({path for pattern in patterns for path in draft.files.glob(pattern)})
    return tuple(_file(draft, path, f"{folder}/{path}") for path in found)


def _toolchain(draft: _Draft, rule: InstalledRule, name: str) -> Toolchain:
    try:
        return draft.toolchains[name]
    except KeyError:
        raise fail(
            "MB213",
            f"rule {rule.name} names a toolchain {name} that does not exist",
            "a toolchain is a folder with a toolchain.toml in rules/toolchains or the rule's own folder",
        ) from None


def _artifact_files(draft: _Draft, action: str, folder: str) -> list[str]:
    """The artifact's files as an action that stages them in ``folder`` finds them."""
    return [f"{folder}/{name}" for name in draft.actions[action].artifact]


def _stem(name: str) -> str:
    """The name under which a worker finds the path of one of its notes."""
    return PurePosixPath(name).stem


def _renamed(action: Action, id: str) -> Action:
    return replace(action, id=id)


class _Namespace:
    """A rule's ``needs`` reads options as attributes."""

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self.__dict__.update(values)
