"""A MODELS.toml as models: its tables checked one by one, every mistake noted, nothing guessed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from megbuild.declare.complaints import take
from megbuild.declare.files import Files
from megbuild.declare.hints import closest, quoted
from megbuild.declare.labels import NAME, NAME_RULE
from megbuild.declare.models import Model, Output, Release, Tensor
from megbuild.declare.outputs import Catalogue, Inherited
from megbuild.declare.positions import Place
from megbuild.declare.releases import release
from megbuild.declare.schema import DefaultsTable, FileTable, InputTable, ModelTable, OutputTable, ResultTable
from megbuild.declare.workspace import Package
from megbuild.errors import Problem

STARTS = ("source", "archive", "onnx")
TRAINING = ("train", "data", "environment", "hash")
"""Keys that speak of training code, and so go only with ``source``."""
_DEFAULTS = frozenset(DefaultsTable.__struct_fields__)
_VALUES = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0), "bool": (0.0, 1.0), "int16": (-32768.0, 32767.0)}
"""The values that a narrow type holds: the range of a declared input must lie in them."""


@dataclass
class Reader:
    """Turns packages into models; ``problems`` collects what is wrong."""

    files: Files
    catalogue: Catalogue
    problems: list[Problem]
    releases: dict[str, Release] = field(default_factory=dict)
    """Those of the packages read so far, by name."""
    homes: Mapping[str, str] = field(init=False)
    """Of keys that belong to an output, and not to a model: a hint that says so."""

    def __post_init__(self) -> None:
        self.homes = {
            key: f'"{key}" belongs to an output: write it below [models.NAME.outputs.NAME]'
            for key in (*OutputTable.__struct_fields__, *self.catalogue.options.names)
        }

    def package(
        self, package: Package, above: Inherited, wanted: Callable[[str, str], bool]
    ) -> tuple[list[Model], Inherited]:
        """The models of a package that are ``wanted``, by folder and name, and what the packages below it inherit."""
        place = package.place
        table = take(package.raw, FileTable, place, self.problems)
        if table is None:
            return [], above
        if package.folder:
            for key in ("default", "ignore"):
                if key in package.raw:
                    hint = "write it at the root of the workspace"
                    self._problem("MB109", f'"{key}" is of use only at the root', hint, place.key_of(key))
        if table.models and not all(NAME.fullmatch(part) for part in package.folder.split("/") if part):
            message = f"the folder {quoted(package.folder)} cannot be a package"
            self._problem("MB107", message, NAME_RULE, place.key_of())
        if table.defaults:
            above = self._defaults(table.defaults, place.at("defaults"), package.folder, above)
        models = [
            self._model(name, raw, place.at("models", name), package.folder, above)
            for name, raw in table.models.items()
            if wanted(package.folder, name)
        ]
        for name, raw in table.releases.items():
            at = place.at("releases", name)
            if declared := release(name, raw, at, package.folder, self.files, self.releases, self.problems):
                self.releases[name] = declared
        return [model for model in models if model], above

    def _defaults(self, raw: dict[str, Any], place: Place, folder: str, above: Inherited) -> Inherited:
        free = {key: value for key, value in raw.items() if key not in _DEFAULTS}
        options, places = self.catalogue.settle(free, place, self.problems, _DEFAULTS)
        table = take({key: raw[key] for key in raw if key in _DEFAULTS}, DefaultsTable, place, self.problems)
        if table is None:
            return above
        environment = above.environment
        if table.environment:
            environment = self.files.file(table.environment, folder, place.at("environment"))
        return replace(
            above.with_limits(table.verify, table.budget),
            hash=above.hash if isinstance(table.hash, UnsetType) else table.hash,
            environment=environment,
            limits=above.limits if isinstance(table.limits, UnsetType) else table.limits.over(above.limits),
            options=MappingProxyType({**above.options, **options}),
            places=MappingProxyType({**above.places, **places}),
        )

    def _model(self, name: str, raw: dict[str, Any], place: Place, package: str, above: Inherited) -> Model | None:
        if not NAME.fullmatch(name):
            self._problem("MB107", f"{quoted(name)} cannot name a model", NAME_RULE, place.key_of())
            return None
        table = take(raw, ModelTable, place, self.problems, self.homes)
        self._check_start(raw, name, place)
        declared = table.outputs if table else _tables(raw.get("outputs"))
        if not raw.get("outputs"):
            hint = f'add [models.{name}.outputs.NAME] with hardware = "..."'
            self._problem("MB120", f"model {name} has no outputs", hint, place.key_of())
        nearer = above.with_limits(table.verify, table.budget) if table else above
        outputs = [
            self.catalogue.output(key, value, place.at("outputs", key), nearer, self.problems)
            for key, value in declared.items()
        ]
        if table is None:
            return None
        return self._complete(name, raw, table, [output for output in outputs if output], place, package, above)

    def _complete(
        self,
        name: str,
        raw: dict[str, Any],
        table: ModelTable,
        outputs: list[Output],
        place: Place,
        package: str,
        above: Inherited,
    ) -> Model:
        files = self.files
        files.tree.searched.clear()
        environment = above.environment if table.source else ""
        if table.environment:
            environment = files.file(table.environment, package, place.at("environment"))
        inputs, results = self._tensors(table, place)
        samples = files.samples(table.samples, package, place.at("samples")) if table.samples else ()
        if table.labels and not table.samples:
            message = '"labels" is of use only with samples'
            self._problem("MB109", message, 'add samples = "samples/*.npy"', place.key_of("labels"))
        return Model(
            package=package,
            name=name,
            inputs=inputs,
            results=results,
            outputs=tuple(outputs),
            source=files.entry(table.source, package, place.at("source"))
            if isinstance(raw.get("source"), str)
            else None,
            train=files.entry(table.train, package, place.at("train")) if isinstance(raw.get("train"), str) else None,
            archive=None if table.archive is UNSET else files.pinned(table.archive, package, place.at("archive")),
            onnx=None if table.onnx is UNSET else files.pinned(table.onnx, package, place.at("onnx")),
            data=files.data(table.data, package, place.at("data")) if table.data else (),
            environment=environment,
            samples=samples,
            labels=files.file(table.labels, package, place.at("labels")) if table.labels else "",
            calibration=files.samples(table.calibration, package, place.at("calibration")) if table.calibration else (),
            hash=above.hash if isinstance(table.hash, UnsetType) else table.hash,
            limits=above.limits if isinstance(table.limits, UnsetType) else table.limits.over(above.limits),
            where=place.key_of(),
            searched=tuple(sorted(files.tree.searched)),
        )

    def _check_start(self, raw: dict[str, Any], name: str, place: Place) -> None:
        given = [key for key in STARTS if key in raw]
        if not given:
            if any(closest(key, STARTS) for key in raw if key not in ModelTable.__struct_fields__):
                return  # a misspelt one, which was reported as such
            hint = 'add source = "file.py:function", or archive or onnx = { path = "...", sha256 = "..." }'
            self._problem("MB108", f"model {name} does not say where it comes from", hint, place.key_of())
        elif len(given) > 1:
            message = f"model {name} has {' and '.join(given)}, and can start from one only"
            self._problem("MB108", message, "keep one of them", place.key_of(given[1]))
        elif given != ["source"]:
            for key in TRAINING:
                if key in raw:
                    message = f'"{key}" is of use only with source, and this model has {given[0]}'
                    self._problem("MB109", message, f"leave {key} out", place.key_of(key))

    def _tensors(self, table: ModelTable, place: Place) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The inputs and results. Their names must differ: every format keeps both in one name space."""
        seen: dict[str, str] = {}
        kinds: dict[str, list[Tensor]] = {"inputs": [], "results": []}
        for kind, tensors in kinds.items():
            declared: tuple[InputTable | ResultTable, ...] = getattr(table, kind)
            for number, entry in enumerate(declared):
                at = place.at(kind, number)
                if not NAME.fullmatch(entry.name):
                    self._problem("MB107", f"{quoted(entry.name)} cannot name a tensor", NAME_RULE, at.at("name"))
                if entry.name in seen:
                    message = f"the name {quoted(entry.name)} stands in {seen[entry.name]} already"
                    self._problem("MB118", message, "give every input and result its own name", at.at("name"))
                seen.setdefault(entry.name, f"{kind}[{number}]")
                tensors.append(self._input(entry, at) if isinstance(entry, InputTable) else _result(entry))
        return tuple(kinds["inputs"]), tuple(kinds["results"])

    def _input(self, entry: InputTable, place: Place) -> Tensor:
        least, most = _VALUES.get(entry.dtype, (-math.inf, math.inf))
        if isinstance(entry.range, UnsetType):
            default = (-1.0, 1.0) if entry.dtype not in ("uint8", "int8", "bool") else (least, most)
            return Tensor(entry.name, entry.shape, entry.dtype, default)
        low, high = entry.range
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            self._problem("MB105", "range must be two finite numbers, the smaller one first", "", place.at("range"))
        elif not (least <= low and high <= most):
            message = f"range goes beyond the values of {entry.dtype}"
            self._problem("MB105", message, f"write range = [{least:g}, {most:g}]", place.at("range"))
        return Tensor(entry.name, entry.shape, entry.dtype, entry.range)

    def _problem(self, code: str, message: str, hint: str, where: Place) -> None:
        self.problems.append(Problem(code, message, hint, where))


def _result(entry: ResultTable) -> Tensor:
    return Tensor(entry.name, entry.shape, "" if isinstance(entry.dtype, UnsetType) else entry.dtype)


def _tables(raw: Any) -> dict[str, dict[str, Any]]:
    """The tables in a value that may be anything."""
    return {key: value for key, value in raw.items() if isinstance(value, dict)} if isinstance(raw, dict) else {}
