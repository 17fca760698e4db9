"""Find the installed rules: megbuild's own, and those in the ``rules`` folder of the workspace.

A rule is a folder with ``rule.py`` (which defines RULE, or RULES for several) and ``worker.py``. ``rule.py`` runs in
this process and only describes; whatever goes wrong in it is told at its line.
"""

from __future__ import annotations

import importlib.util
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

import megbuild
from megbuild.declare import toml_file
from megbuild.declare.hints import did_you_mean, one_of, quoted
from megbuild.declare.labels import NAME
from megbuild.declare.models import InstalledRule
from megbuild.errors import Location, MegbuildError, Problem
from megbuild.rule import Option, Rule, Scalar

_SUFFIX = re.compile(r"\.[A-Za-z0-9_+\-][A-Za-z0-9_.+\-]{0,49}")
_SHAPES: Mapping[str, Any] = {
    "consumes": str | tuple[str, ...],
    "requires": dict[str, dict[str, Scalar]],
    **dict.fromkeys(("produces", "toolchain", "run_toolchain", "worker", "function", "device"), str),
    **dict.fromkeys(("files", "runs_on", "notes", "secrets"), tuple[str, ...]),
    **dict.fromkeys(("embeds", "direct", "runs_from_inputs"), bool),
    "options": dict[Any, Any],
    "version": int,
}
"""The types of a rule's fields: a Rule that is made takes anything."""
TOOLCHAINS = "toolchains"
"""The folder among the rules that holds the environments which several of them share."""


class Found(Struct, frozen=True):
    """The installed rules, and every file and folder that was read to find them."""

    rules: tuple[InstalledRule, ...]
    read: tuple[str, ...]
    code: Mapping[str, CodeType]
    """The compiled ``rule.py`` of each folder."""


def builtin_rules_folder() -> Path:
    """megbuild's own rules: beside the package in a checkout, the package ``megbuild_rules`` in an installation."""
    checkout = Path(megbuild.__file__).resolve().parent.parent / "rules"
    if (checkout / "hardware.toml").is_file():
        return checkout
    installed = importlib.util.find_spec("megbuild_rules")
    for folder in (installed.submodule_search_locations or ()) if installed else ():
        return Path(folder)
    return checkout


def discover(builtin: Path, own: Path | None, root: Path, problems: list[Problem]) -> Found:
    """The rules in megbuild's folder ``builtin`` and in the workspace's folder ``own``."""
    installed: list[InstalledRule] = []
    read: list[str] = []
    code: dict[str, CodeType] = {}
    for folder in [builtin, *([own] if own else [])]:
        read.append(str(folder))
        for place in _rule_folders(folder):
            path = place / "rule.py"
            inside = path.is_relative_to(root)
            shown = path.relative_to(root).as_posix() if inside else str(path)
            origin = "megbuild" if folder == builtin else place.relative_to(root).as_posix()
            read += [str(place), str(path)]
            try:
                code[str(place)] = _compiled(path, shown)
                installed += _load(path, shown, origin, code[str(place)])
            except MegbuildError as error:
                problems.extend(error.problems)
    problems.extend(_same_edges(installed, root))
    return Found(tuple(installed), tuple(read), MappingProxyType(code))


def again(folder: str, origin: str, code: CodeType) -> list[InstalledRule]:
    """The rules of a folder, from what its ``rule.py`` was compiled to when they were discovered and checked."""
    path = Path(folder, "rule.py")
    return _installed(path.parent, _described(_run(code, path, str(path)), str(path)), origin)


def unknown_toolchains(installed: Iterable[InstalledRule], known: Mapping[str, Any], root: Path) -> list[Problem]:
    """A problem for every toolchain that a rule asks for and nothing provides."""
    problems = []
    for rule in installed:
        for name in dict.fromkeys((rule.rule.toolchain, rule.rule.run_toolchain)):
            if name not in known and (name or not rule.rule.toolchain):
                message = f"rule {rule.name} wants the toolchain {quoted(name)}, which does not exist"
                where = _where(rule, root, f'"{name}"')
                problems.append(Problem("MB126", message, did_you_mean(name, known, one_of(known)), where))
    return problems


def _rule_folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [entry for entry in entries if entry.name != TOOLCHAINS and (entry / "rule.py").is_file()]


def _load(path: Path, shown: str, origin: str, code: CodeType) -> list[InstalledRule]:
    """The rules that a ``rule.py`` describes."""
    folder = path.parent
    described = _described(_run(code, path, shown), shown)
    if not NAME.fullmatch(folder.name):
        raise _broken("its folder has a name that cannot be a rule's", "use letters, digits, _ and -", Location(shown))
    if not (folder / "worker.py").is_file():
        raise _broken("there is no worker.py beside it", "write the function that makes the artifact", Location(shown))
    for rule in described:
        if complaint := _complaint(rule):
            raise _broken(complaint, "", Location(shown))
    return _installed(folder, described, origin)


def _installed(folder: Path, described: tuple[Rule, ...], origin: str) -> list[InstalledRule]:
    names = [folder.name] if len(described) == 1 else [f"{folder.name}/{rule.produces}" for rule in described]
    return [InstalledRule(name, rule, str(folder), origin) for name, rule in zip(names, described, strict=True)]


def _compiled(path: Path, shown: str) -> CodeType:
    """What ``rule.py`` says. It is compiled here, so that no cache is written beside it."""
    data = toml_file.read_bytes(str(path), shown)
    with _telling(path, shown):
        code = compile(data, str(path), "exec", dont_inherit=True)
    return code


def _run(code: CodeType, path: Path, shown: str) -> dict[str, Any]:
    """The names that ``rule.py`` defines."""
    names: dict[str, Any] = {"__name__": f"megbuild_rules.{path.parent.name}.rule", "__file__": str(path)}
    with _telling(path, shown):
        exec(code, names)
    return names


@contextmanager
def _telling(path: Path, shown: str) -> Iterator[None]:
    """Make a problem at its line of whatever goes wrong in ``rule.py``, or in what it imports."""
    try:
        yield
    except MegbuildError:
        raise
    except SyntaxError as error:
        raise _broken(
            f"is not valid Python: {error.msg}", "", Location(shown, error.lineno or 0, error.offset or 0)
        ) from None
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        said = " ".join(traceback.format_exception_only(error)[-1].split())
        raise _broken(f"fails with {said}", "it may import megbuild.rule only", Location(shown, *lines[-1:])) from None


def _described(names: Mapping[str, Any], shown: str) -> tuple[Rule, ...]:
    if isinstance(names.get("RULE"), Rule):
        return (names["RULE"],)
    several = names.get("RULES")
    if isinstance(several, (tuple, list)) and several and all(isinstance(rule, Rule) for rule in several):
        return tuple(several)
    raise _broken("defines neither RULE nor RULES", "RULE = Rule(consumes=..., produces=..., ...)", Location(shown))


def _complaint(rule: Rule) -> str:
    """What is wrong with a description, or nothing. What becomes a part of a path has to be a plain name."""
    if complaint := next((said for name, kind in _SHAPES.items() if (said := _misshapen(rule, name, kind))), ""):
        return complaint
    for format_ in (*rule.sources, rule.produces):
        if not NAME.fullmatch(format_):
            return f"{quoted(format_)} cannot be the name of a format"
    if not rule.sources:
        return "consumes must name a format"
    if not rule.files or not all(map(_SUFFIX.fullmatch, rule.files)):
        return 'files must be a tuple of suffixes such as (".onnx",)'
    for name in (rule.worker, *rule.notes):
        if not NAME.fullmatch(name):
            return f"{quoted(name)} cannot be the name of a file beside the worker or the artifact"
    if not rule.function.isidentifier():
        return f"{quoted(rule.function)} cannot be the name of a function"
    return next((said for name, option in rule.options.items() if (said := _option_complaint(name, option))), "")


def _misshapen(rule: Rule, name: str, kind: Any) -> str:
    """What is wrong with the type of a field, or nothing."""
    value = getattr(rule, name)
    try:
        msgspec.convert(dict(value) if isinstance(value, Mapping) else value, kind)
    except (msgspec.ValidationError, RecursionError):
        return f"{name} has a value of the wrong type"
    return f"{name} must be a tuple" if isinstance(value, list) else ""


def _option_complaint(name: object, option: object) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"{quoted(str(name))} cannot be the name of an option"
    if not isinstance(option, Option):
        return f"option {name} must be an Option"
    if type(option.default) not in (str, int, float, bool):
        return f"the default of option {name} must be a string, a number or a boolean"
    if not isinstance(option.help, str) or not isinstance(option.choices, tuple):
        return f"option {name} has choices or a help of the wrong type"
    if option.range is not None:
        try:
            msgspec.convert(option.range, tuple[float, float])
        except msgspec.ValidationError:
            return f"the range of option {name} must be two numbers"
        if isinstance(option.default, (str, bool)):
            return f"option {name} is no number, and has a range"
    complaint = option.complaint(option.default)
    return f"the default of option {name} {complaint}" if complaint else ""


def _same_edges(installed: list[InstalledRule], root: Path) -> list[Problem]:
    """A problem for every second rule that makes the same format from the same format."""
    first: dict[tuple[str, str], InstalledRule] = {}
    problems = []
    for rule in installed:
        for source in rule.rule.sources:
            other = first.setdefault((source, rule.rule.produces), rule)
            if other is not rule:
                message = f"rule {rule.name} makes {rule.rule.produces} from {source}, as {other.name} does already"
                problems.append(Problem("MB125", message, "remove one of the two", _where(rule, root, "produces")))
    return problems


def _where(rule: InstalledRule, root: Path, word: str) -> Location:
    """The line of ``rule.py`` that first has ``word``."""
    path = Path(rule.folder, "rule.py")
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    lines = path.read_text("utf-8", "replace").splitlines()
    return Location(shown, next((number for number, line in enumerate(lines, 1) if word in line), 0))


def _broken(complaint: str, hint: str, where: Location) -> MegbuildError:
    return MegbuildError((Problem("MB124", complaint, hint, where),))
