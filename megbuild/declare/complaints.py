"""Turn a raw table into its typed form, and say everything that is wrong with it.

The good path is one call of msgspec. Only when that fails is the table gone through key by key: each bad key is
reported at its place and left out, so that one mistake does not hide the next.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from megbuild.declare.hints import did_you_mean, one_of, quoted
from megbuild.declare.positions import Keys, Place
from megbuild.errors import Problem

NOWHERE: Mapping[str, str] = MappingProxyType({})
_BAD = object()
Table = TypeVar("Table", bound=msgspec.Struct)


def take(
    raw: Any, kind: type[Table], place: Place, problems: list[Problem], homes: Mapping[str, str] = NOWHERE
) -> Table | None:
    """``raw`` as a ``kind``; None when it cannot be one. ``homes`` tells of keys that belong elsewhere: where."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        if not isinstance(raw, dict):
            problems.append(_told(error, place, kind))
            return None
    sound: dict[str, Any] = {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        if key not in fields:
            problems.append(unknown_key(key, place, fields, homes))
        else:
            sound[key] = _sound(value, fields[key].type, place.at(key), problems)
    sound = {key: value for key, value in sound.items() if value is not _BAD}
    missing = [name for name, field in fields.items() if field.required and name not in raw]
    for name in missing:
        hint = f"add {name} = {_EXAMPLES[name]}" if name in _EXAMPLES else f"add {name}"
        problems.append(Problem("MB106", f'{named(place.keys)} lacks "{name}"', hint, place.key_of()))
    if any(field.required and name not in sound for name, field in fields.items()):
        return None
    return msgspec.convert(sound, kind)


def unknown_key(key: str, place: Place, known: Collection[str], homes: Mapping[str, str] = NOWHERE) -> Problem:
    """The problem of a key that nothing reads here."""
    where = named(place.keys)
    message = f"unknown key {quoted(key)}" + (f" in {where}" if where else "")
    return Problem("MB104", message, homes.get(key) or did_you_mean(key, known), place.key_of(key))


def _sound(value: Any, kind: Any, place: Place, problems: list[Problem]) -> Any:
    """A field's value as far as it can be taken; _BAD when it cannot. Reports every reason why not."""
    try:
        msgspec.convert(value, kind)
        return value
    except msgspec.ValidationError as error:
        first = _told(error, place, kind)
    before = len(problems)
    table, element = _table(kind), _table(kind, element=True)
    if isinstance(value, dict) and table:
        take(value, table, place, problems)
    elif isinstance(value, dict) and get_origin(_bare(kind)) is dict:
        for name in [name for name, entry in value.items() if not isinstance(entry, dict)]:
            keys = place.at(name).keys
            said = f"{named(keys)} must be a table, not {_GOT.get(type(value[name]).__name__, 'a list')}"
            problems.append(Problem("MB105", said, f"write [{named(keys)}]", place.at(name)))
        tables = {name: entry for name, entry in value.items() if isinstance(entry, dict)}
        if len(problems) > before and _fits(tables, kind):
            return tables
    elif isinstance(value, list) and element:
        for number, entry in enumerate(value):
            take(entry, element, place.at(number), problems)
    if len(problems) == before:
        problems.append(first)
    return _BAD


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _bare(kind: Any) -> Any:
    """A field's type without its description."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _table(kind: Any, *, element: bool = False) -> type[msgspec.Struct] | None:
    """The type of table that may stand in a field of type ``kind``, or that the elements of its list have."""
    kind = _bare(kind)
    if element:
        return _table(get_args(kind)[0]) if get_origin(kind) is tuple else None
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return next((part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)


def _told(error: msgspec.ValidationError, place: Place, kind: Any) -> Problem:
    """msgspec's message in plain words, at the value it speaks of."""
    text, _, path = str(error).partition(" - at `$")
    keys: Keys = tuple(int(number) if number else name for name, number in re.findall(r"\.(\w+)|\[(\d+)\]", path))
    place = place.at(*keys)
    hint = ""
    if match := re.match(r"Expected `([^`]*)`, got `([^`]*)`", text):
        wanted, got = match.groups()
        words = [_WANTED.get(word, word) for word in wanted.split(" | ") if word != "null"]
        said = f"must be {' or '.join(words)}, not {_GOT.get(got, got)}"
        hint = _hint(place.keys, wanted)
    elif match := re.match(r"Expected `array` of (?:at least )?length (>=|<=|)? ?(\d+)", text):
        said = f"must have {_BOUNDS[match[1] or '']} {match[2]} {'item' if match[2] == '1' else 'items'}"
        hint = _hint(place.keys, "array")
    elif match := re.match(r"Expected `(\w+)` (>=|<=|>|<) (\S+)", text):
        said = f"must be {_BOUNDS[match[2]]} {float(match[3]):g}"
        hint = _hint(place.keys, "dimension") if "shape" in place.keys else ""
    elif match := re.match(r"Invalid enum value '(.*)'", text, re.DOTALL):
        choices = _choices(kind)
        said = f"cannot be {quoted(match[1])}"
        hint = did_you_mean(match[1], choices, one_of(choices))
    else:
        said = f"cannot be taken: {text}"
    return Problem("MB105", f"{named(place.keys)} {said}", hint, place)


def _choices(kind: Any) -> list[str]:
    """The values of the first Literal in ``kind``."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return next((found for part in get_args(kind) if (found := _choices(part))), [])


def _hint(keys: Keys, wanted: str) -> str:
    """An example of the right form, by the last key that has a name."""
    if wanted == "dimension":
        return "megbuild compiles for fixed shapes: write every dimension as a number of 1 or more"
    name = next((str(key) for key in reversed(keys) if isinstance(key, str)), "")
    return f"write {name} = {_EXAMPLES[name]}" if name in _EXAMPLES else ""


def named(keys: Keys) -> str:
    """The keys as TOML writes them: ``models.resnet18.inputs[0]``."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quoted(key))
    return text


_WANTED = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "array": "a list",
    "object": "a table",
    "bool": "true or false",
}
_GOT = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "array": "a list",
    "object": "a table",
    "bool": "a boolean",
    "date": "a date",
    "datetime": "a date",
    "time": "a time of day",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than", "": "exactly"}
_EXAMPLES: Mapping[str, str] = {
    "inputs": '[{ name = "data", shape = [1, 3, 224, 224] }]',
    "results": '[{ name = "prob", shape = [1, 1000] }]',
    "name": '"data"',
    "shape": "[1, 3, 224, 224]",
    "range": "[-1.0, 1.0]",
    "source": '"resnet18.py:build"',
    "train": '"train.py:train"',
    "archive": '{ path = "resnet18.tm", sha256 = "..." }',
    "onnx": '{ path = "resnet18.onnx", sha256 = "..." }',
    "path": '"resnet18.tm"',
    "sha256": 'the output of "sha256sum FILE"',
    "verify": "{ cosine = 0.999 }",
    "budget": "{ size_mb = 14 }",
    "format": '"mge"',
    "default": '["//..."]',
    "labels": '["//..."]',
    "licences": '["LICENSE"]',
    "samples": '"samples/*.npy"',
    "calibration": '"calib/*.npy"',
    "data": '["labels.txt"]',
}
