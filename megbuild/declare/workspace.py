"""The settings of a workspace, and the packages in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from megbuild.declare import schema, toml_file
from megbuild.declare.complaints import take
from megbuild.declare.hints import quoted
from megbuild.declare.labels import Pattern
from megbuild.declare.positions import Place
from megbuild.declare.root import MODELS, SETTINGS, is_workspace
from megbuild.declare.tree import Tree, workspace_path
from megbuild.errors import Location, MegbuildError, Problem, fail

EVERYTHING = ("//...",)
OURS = ("out",)
"""Folders at the root that megbuild itself fills; its hidden ones are skipped as all hidden folders are."""


class Settings(Struct, frozen=True):
    """What the file at the root says about the workspace."""

    default: tuple[str, ...] = EVERYTHING
    ignore: tuple[str, ...] = ()


class Package(Struct, frozen=True):
    """A folder with a MODELS.toml, and the raw tables of that file."""

    folder: str
    raw: dict[str, Any]
    place: Place


def settings(tree: Tree, problems: list[Problem]) -> Settings:
    """The settings of the workspace, from pyproject.toml or from the MODELS.toml at its root."""
    found: list[tuple[Place, schema.SettingsTable]] = []
    if tree.kind(SETTINGS) == "file":
        path = tree.absolute(SETTINGS)
        data = toml_file.read_bytes(path, SETTINGS)
        tool = toml_file.parse(data, SETTINGS).get("tool", {}) if b"megbuild" in data else {}
        if isinstance(tool, dict) and "megbuild" in tool:
            place = Place(SETTINGS, path).at("tool", "megbuild")
            table = take(tool["megbuild"], schema.SettingsTable, place, problems)
            found += [(place, table)] if table else []
    if tree.kind(MODELS) == "file":
        place = Place(MODELS, tree.absolute(MODELS))
        raw = toml_file.read(place.path, MODELS)
        keys = {key: raw[key] for key in ("default", "ignore") if key in raw}
        table = take(keys, schema.SettingsTable, place, problems) if keys else None
        found += [(place, table)] if table else []
    default = _only("default", found, problems)
    ignore = _only("ignore", found, problems)
    for text, place in default:
        try:
            Pattern.parse(text, where=place)
        except MegbuildError as error:
            problems.extend(error.problems)
    folders = []
    for text, place in ignore:
        path, complaint = workspace_path(text, "")
        if complaint:
            problems.append(
                Problem("MB110", f"ignore = {quoted(text)} {complaint}", "write a folder of this workspace", place)
            )
        folders.append(path)
    return Settings(tuple(text for text, _ in default) or EVERYTHING, tuple(folders))


def _only(
    key: str, found: list[tuple[Place, schema.SettingsTable]], problems: list[Problem]
) -> list[tuple[str, Place]]:
    """The entries of a setting with their places; a problem when both files have it."""
    given = [(place, getattr(table, key)) for place, table in found if getattr(table, key)]
    if len(given) > 1:
        message = f'"{key}" stands in {given[0][0].file} as well'
        problems.append(
            Problem("MB109", message, f"keep one of the two, best that in {SETTINGS}", given[1][0].key_of(key))
        )
    entries = [(place.at(key), value) for place, value in given[:1]]
    return [
        (text, place.at(number) if isinstance(value, tuple) else place)
        for place, value in entries
        for number, text in enumerate((value,) if isinstance(value, str) else value)
    ]


def packages(
    tree: Tree, ignore: tuple[str, ...], problems: list[Problem], leads: Callable[[str], bool]
) -> Iterator[Package]:
    """Every package of the workspace, parents before children, on the way to the wanted ones: ``leads`` tells by folder.

    Hidden folders, megbuild's own, node_modules, virtual environments, nested workspaces and links are passed over.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        listing = tree.listing(folder)
        start = f"{folder}/" if folder else ""
        if folder and "pyvenv.cfg" in listing.files:
            continue
        try:
            if folder and SETTINGS in listing.files and is_workspace(tree.absolute(folder), folder):
                continue
            if MODELS in listing.files or MODELS in listing.links:
                package = _package(tree, folder, start + MODELS)
                if folder and package.raw.get("workspace") is True:
                    continue
                yield package
        except MegbuildError as error:
            problems.extend(error.problems)
        for name in sorted(listing.folders, reverse=True):
            if name[0] == "." or name in ("node_modules", "__pycache__") or (not folder and name in OURS):
                continue
            if (not ignore or start + name not in ignore) and leads(start + name):
                pending.append(start + name)


def _package(tree: Tree, folder: str, path: str) -> Package:
    if tree.kind(path) == "outside":
        hint = "keep the file in the workspace itself"
        raise fail("MB110", f"{path} is a link that leaves the workspace", hint, Location(path, 1))
    place = Place(path, tree.absolute(path))
    return Package(folder, toml_file.read(place.path, path), place)
