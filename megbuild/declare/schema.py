"""The tables of MODELS.toml and HARDWARE.toml as written: which keys there are, their types and what they mean.

One definition serves the reader and the editors: the JSON Schema in ``docs/models.schema.json`` is made from it and
from the options of the installed rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from megbuild.declare.limits import Limits
from megbuild.declare.options import Options
from megbuild.rule import Option, Scalar

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}"
"""What a model, an output and a tensor may be called: their names are parts of labels, paths and file names."""

Dtype = Literal["float32", "float16", "int32", "int16", "int8", "uint8", "bool"]
Dimension = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Shape = Annotated[tuple[Dimension, ...], Meta(min_length=1, max_length=7)]
Cosine = Annotated[float, Meta(ge=-1, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Size = Annotated[float, Meta(gt=0)]
Paths = str | tuple[str, ...]


class _Table(Struct, forbid_unknown_fields=True, kw_only=True):
    """A table that takes no other keys than its fields."""


class VerifyTable(_Table):
    """Thresholds that an output must keep when it is compared with the .tm on the samples."""

    cosine: Annotated[Cosine | UnsetType, Meta(description="Smallest cosine similarity.")] = UNSET
    scale: Annotated[Amount | UnsetType, Meta(description="Largest distance of the scale ratio from 1.")] = UNSET
    max_abs: Annotated[Amount | UnsetType, Meta(description="Largest absolute difference.")] = UNSET
    sqnr_db: Annotated[float | UnsetType, Meta(description="Smallest signal to quantisation noise ratio in dB.")] = (
        UNSET
    )
    top1: Annotated[Share | UnsetType, Meta(description="Smallest share of samples with the same top-1.")] = UNSET
    top5: Annotated[Share | UnsetType, Meta(description="Smallest share of samples with the same top-5.")] = UNSET
    accuracy: Annotated[Share | UnsetType, Meta(description="Smallest accuracy; needs labels.")] = UNSET
    accuracy_drop: Annotated[
        Share | UnsetType, Meta(description="Largest loss of accuracy against the .tm; needs labels.")
    ] = UNSET


class BudgetTable(_Table):
    """Limits of an artifact that are not about numbers."""

    size_mb: Annotated[Size | UnsetType, Meta(description="Largest size in MB (10^6 bytes).")] = UNSET


class PinnedTable(_Table):
    """A delivered file and the digest that it must have."""

    path: Annotated[str, Meta(description="The file, relative to this folder.")]
    sha256: Annotated[str, Meta(description="Its SHA-256 in hex.")]


class InputTable(_Table):
    """An input of the model."""

    name: Annotated[str, Meta(description="Its name in every artifact.")]
    shape: Annotated[Shape, Meta(description="Its fixed shape, the batch first.")]
    dtype: Annotated[Dtype, Meta(description="Its element type.")] = "float32"
    range: Annotated[
        tuple[float, float] | UnsetType, Meta(description="The values that synthetic samples are drawn from.")
    ] = UNSET


class ResultTable(_Table):
    """A result of the model."""

    name: Annotated[str, Meta(description="Its name in every artifact.")]
    shape: Annotated[Shape, Meta(description="Its fixed shape.")]
    dtype: Annotated[
        Dtype | UnsetType, Meta(description="Its element type; the one that the .tm gives when left out.")
    ] = UNSET


class OutputTable(_Table):
    """One product of the model for one hardware. Options of the rules on its road stand here as keys too."""

    hardware: Annotated[str, Meta(description="The hardware it is for; the output's own name when left out.")] = ""
    verify: Annotated[VerifyTable | UnsetType, Meta(description="Thresholds of this output.")] = UNSET
    budget: Annotated[BudgetTable | UnsetType, Meta(description="Limits of this output.")] = UNSET
    via: Annotated[Paths, Meta(description="Formats that its road must pass, when not the shortest is wanted.")] = ()
    embed: Annotated[str, Meta(description="The format that the device's artifact is wrapped in.")] = ""
    direct: Annotated[bool, Meta(description="Take the direct rule from the training code, where there is one.")] = (
        False
    )


class DefaultsTable(_Table):
    """What holds for the models of this folder and below, unless they say otherwise. Options of rules may stand here."""

    verify: Annotated[VerifyTable | UnsetType, Meta(description="Thresholds of every output.")] = UNSET
    budget: Annotated[BudgetTable | UnsetType, Meta(description="Limits of every output.")] = UNSET
    hash: Annotated[Literal["meaning", "bytes"] | UnsetType, Meta(description="How training code counts.")] = UNSET
    environment: Annotated[str, Meta(description="Lock file of the packages that training code needs.")] = ""
    limits: Annotated[Limits | UnsetType, Meta(description="What one action may use.")] = UNSET


class ModelTable(_Table):
    """A network: where it comes from, its inputs and results, and the outputs made of it."""

    inputs: Annotated[tuple[InputTable, ...], Meta(min_length=1, description="The inputs, in order.")]
    results: Annotated[tuple[ResultTable, ...], Meta(min_length=1, description="The results, in order.")]
    source: Annotated[str, Meta(description='"file.py:function": training code that returns the Module.')] = ""
    train: Annotated[str, Meta(description='"file.py:function": training code that makes the weights.')] = ""
    archive: Annotated[PinnedTable | UnsetType, Meta(description="A delivered .tm, instead of source.")] = UNSET
    onnx: Annotated[PinnedTable | UnsetType, Meta(description="An ONNX file to import, instead of source.")] = UNSET
    data: Annotated[Paths, Meta(description="Other files that the training code reads: paths or globs.")] = ()
    environment: Annotated[str, Meta(description="Lock file of the packages that the training code needs.")] = ""
    hash: Annotated[
        Literal["meaning", "bytes"] | UnsetType,
        Meta(description='How training code counts: by "meaning" (no comments, no formatting) or by "bytes".'),
    ] = UNSET
    samples: Annotated[Paths, Meta(description="Globs of real inputs (.npy, .npz) for the numeric checks.")] = ()
    labels: Annotated[str, Meta(description="A .npy with the class index of each sample.")] = ""
    calibration: Annotated[
        Paths, Meta(description="Globs of real inputs (.npy, .npz) that int8 is calibrated on.")
    ] = ()
    verify: Annotated[VerifyTable | UnsetType, Meta(description="Thresholds of every output of this model.")] = UNSET
    budget: Annotated[BudgetTable | UnsetType, Meta(description="Limits of every output of this model.")] = UNSET
    limits: Annotated[Limits | UnsetType, Meta(description="What one action of this model may use.")] = UNSET
    outputs: Annotated[dict[str, dict[str, Any]], Meta(description="The outputs, by name.")] = {}


class ReleaseTable(_Table):
    """A bundle of artifacts for somebody who receives them: `doit release NAME`."""

    labels: Annotated[Paths, Meta(description="Labels of the outputs that it holds.")]
    version: Annotated[
        str, Meta(description='The version, "file:PATH" for the first line of a file, or "tag:PREFIX" for a git tag.')
    ] = ""
    notes: Annotated[str, Meta(description="A text for the receiver.")] = ""
    licences: Annotated[Paths, Meta(description="Files or globs of the licences that it carries.")] = ()
    allow_not_run: Annotated[
        Paths, Meta(description="Labels that may be released though the build machine cannot run them.")
    ] = ()
    repository: Annotated[str, Meta(description="Where the sources are, for the provenance.")] = ""


class SettingsTable(_Table):
    """``[tool.megbuild]`` of pyproject.toml."""

    default: Annotated[Paths, Meta(description="Labels that a bare `doit build` builds.")] = ()
    ignore: Annotated[Paths, Meta(description="Folders that are not searched for models.")] = ()


class FileTable(_Table):
    """A MODELS.toml."""

    workspace: Annotated[
        bool, Meta(description="True in the file at the root of a workspace without pyproject.toml.")
    ] = False
    default: Annotated[Paths, Meta(description="In the root: labels that a bare `doit build` builds.")] = ()
    ignore: Annotated[Paths, Meta(description="In the root: folders that are not searched for models.")] = ()
    defaults: Annotated[dict[str, Any], Meta(description="What holds for the models of this folder and below.")] = {}
    models: Annotated[dict[str, dict[str, Any]], Meta(description="The models, by name.")] = {}
    releases: Annotated[dict[str, dict[str, Any]], Meta(description="The releases, by name.")] = {}


class HardwareTable(_Table):
    """A device: the format that it wants, and the options it asks of the rules."""

    format: Annotated[str, Meta(description="The format it takes.")]
    options: Annotated[dict[str, Any], Meta(description="Options of the rules on the road to that format.")] = {}
    family: Annotated[str, Meta(description="The kind of device, for lists.")] = ""
    summary: Annotated[str, Meta(description="One line about it.")] = ""
    runs_here: Annotated[bool, Meta(description="False when its files cannot be run on the build machine.")] = True
    source: Annotated[str, Meta(description="Where this knowledge comes from.")] = ""


def json_schema(options: Options, hardware: Iterable[str]) -> dict[str, Any]:
    """The JSON Schema of MODELS.toml for editors, with the options of the installed rules and the known hardware."""
    _, parts = msgspec.json.schema_components(
        (FileTable, DefaultsTable, ModelTable, OutputTable, ReleaseTable), ref_template="#/$defs/{name}"
    )
    file, defaults = parts["FileTable"]["properties"], parts["DefaultsTable"]["properties"]
    outputs, output = parts["ModelTable"]["properties"]["outputs"], parts["OutputTable"]["properties"]
    named = {"type": "object", "propertyNames": {"pattern": f"^{NAME}$"}}
    file["defaults"] = {"$ref": "#/$defs/DefaultsTable", "description": file["defaults"]["description"]}
    file["models"] = {
        **named,
        "description": file["models"]["description"],
        "additionalProperties": {"$ref": "#/$defs/ModelTable"},
    }
    file["releases"] = {
        **named,
        "description": file["releases"]["description"],
        "additionalProperties": {"$ref": "#/$defs/ReleaseTable"},
    }
    parts["ModelTable"]["properties"]["outputs"] = {
        **named,
        "description": outputs["description"],
        "additionalProperties": {"$ref": "#/$defs/OutputTable"},
    }
    output["hardware"]["examples"] = sorted(hardware)
    for name in options.names:
        described = option_schema(options.named(name))
        output.setdefault(name, described)
        defaults.setdefault(name, described)
    for part in parts.values():
        _plain(part)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MODELS.toml",
        "description": "Models of a megbuild workspace, and what is made of them.",
        "$ref": "#/$defs/FileTable",
        "$defs": dict(sorted(parts.items())),
    }


def option_schema(kinds: Mapping[str, Option]) -> dict[str, Any]:
    """The schema of an option, given the rules that have one of this name."""
    shapes: list[dict[str, Any]] = []
    for option in kinds.values():
        shape: dict[str, Any] = {"type": _TYPES[type(option.default)]}
        if option.choices:
            shape["enum"] = list(option.choices)
        if option.range:
            shape["minimum"], shape["maximum"] = option.range
        if shape not in shapes:
            shapes.append(shape)
    said = " ".join(dict.fromkeys(option.help for option in kinds.values() if option.help))
    rules = ", ".join(sorted(kinds))
    return {
        **(shapes[0] if len(shapes) == 1 else {"anyOf": shapes}),
        "description": f"{said} (option of {rules})".strip(),
    }


_TYPES: Mapping[type[Scalar], str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _plain(part: dict[str, Any]) -> None:
    """Take out what says nothing to an editor: the titles that only repeat the class, empty defaults."""
    part.pop("title", None)
    for field in part.get("properties", {}).values():
        if field.get("default") in ("", [], {}):
            del field["default"]
