"""The steps of a road as actions: from what the model starts with, one format after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from megbuild.declare.models import Model, Toolchain
from megbuild.errors import fail
from megbuild.graph import sources
from megbuild.graph.actions import CORE, Action, Leaf, Product
from megbuild.graph.draft import (
    ARTIFACT,
    GOLDEN,
    LOADS,
    PICKLE_NAMES,
    REFERENCE,
    WEIGHTS,
    Draft,
    artifact_files,
    core_arguments,
    file_leaf,
    globbed,
    stem,
    toolchain_of,
    worker_action,
)
from megbuild.graph.resolve import Step, side_road, start_of
from megbuild.rule import Scalar
from megbuild.store.digests import digest_bytes


def begin(draft: Draft, model: Model) -> str:
    """The action that checks a delivered file against its pin; '' for a model that starts as training code."""
    pinned = model.archive or model.onnx
    if pinned is None:
        return ""
    form = start_of(model)
    leaf = file_leaf(draft, pinned.path, f"in/model.{form}")
    options = {"sha256": pinned.sha256}
    if reviewed := draft.workspace.trusted.get(pinned.sha256):
        options["trusted"] = " ".join(reviewed)
    return draft.add(
        Action(
            id=f"{model.label}#{form}",
            step="delivered",
            summary=f"check {pinned.path}",
            model=model.label,
            toolchain=CORE,
            inputs=(leaf, *draft.core, *(_pickle_names(draft) if form == REFERENCE else ())),
            outputs=(ARTIFACT,),
            arguments=core_arguments("delivered", options),
            options=options,
            makes=form,
            artifact=(f"model.{form}",),
        )
    )


def _pickle_names(draft: Draft) -> list[Leaf]:
    """The list of what a .tm may hold, which belongs to the toolchain that loads it."""
    loads = draft.toolchains.get(LOADS)
    path = f"{loads.folder}/{PICKLE_NAMES}" if loads else ""
    digest = draft.files.digest(path) if path else None
    return [Leaf(f"code/core/{PICKLE_NAMES}", digest, PICKLE_NAMES, origin=path, kind="code")] if digest else []


def convert(draft: Draft, model: Model, step: Step, before: str, environment: Toolchain | None) -> str:
    """The action of one step of a road; the things that it needs beside the road come first."""
    rule = step.rule.rule
    form = draft.actions[before].makes if before else ""
    inputs: list[Leaf | Product] = []
    request: dict[str, list[str]] = {}
    settings: dict[str, Any] = {}
    if before:
        inputs.append(Product(f"in/{form}", before, ARTIFACT))
        request[form] = artifact_files(draft, before, f"in/{form}")
    else:
        entry = model.train if "training" in rule.sources else model.source
        assert entry is not None
        settings = {"entry": f"{entry.file}:{entry.function}", "root": "in/source"}
        inputs += _training_code(draft, model, entry.file)
    for need in rule.needs(_Namespace(dict(step.options))):
        inputs += _need(draft, model, step, need, request, environment)
    toolchain = toolchain_of(draft, step.rule, rule.toolchain)
    if environment is not None and not before:
        toolchain = environment
    artifact = tuple(f"model{suffix}" for suffix in rule.files)
    beside = rule.notes if rule.produces == WEIGHTS else ("io.json", *rule.notes)
    return worker_action(
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
            **{stem(name): [f"out/{name}"] for name in beside},
        },
        inputs=inputs,
        outputs=(ARTIFACT, *beside),
        options=dict(step.options),
        settings=settings,
        makes=rule.produces,
        artifact=artifact,
        secrets=dict(step.secrets),
    )


_VERBS = {"weights": "train", "tm": "trace"}


def _need(
    draft: Draft, model: Model, step: Step, need: str, request: dict[str, list[str]], environment: Toolchain | None
) -> list[Leaf | Product]:
    """What a step reads beside the road: calibration samples, golden ones, or a format made from another start (weights)."""
    if need == "calibration":
        leaves = globbed(draft, model.calibration, "in/calibration")
        if not leaves:
            raise fail(
                "MB211",
                f"{model.label}: {step.rule.name} needs calibration samples",
                'add calibration = "calib/*.npy" to the model: real inputs, some hundred',
                model.where,
            )
        request["calibration"] = [leaf.path for leaf in leaves]
        return list(leaves)
    if need == GOLDEN:
        from megbuild.graph.reference import reference_answer  # which makes the reference by this module

        answered = reference_answer(draft, model, list(draft.actions), environment)
        tensors = [f"inputs/{t.name}" for t in model.inputs] + [f"results/{t.name}" for t in model.results]
        request[GOLDEN] = [f"in/{GOLDEN}/{tensor}.npy" for tensor in tensors]
        return [Product(f"in/{GOLDEN}", answered, GOLDEN)]
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
        made = convert(draft, model, side, made, environment)
    request[need] = artifact_files(draft, made, f"in/{need}")
    return [Product(f"in/{need}", made, ARTIFACT)]


def _training_code(draft: Draft, model: Model, entry: str) -> list[Leaf]:
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
        leaf for path in model.data if (leaf := file_leaf(draft, path, f"in/source/{path}")).path not in staged
    ]


class _Namespace:
    """A rule's ``needs`` reads options as attributes."""

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self.__dict__.update(values)
