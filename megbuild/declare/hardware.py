"""The hardware catalogue: named presets of devices, megbuild's own and those of the workspace's HARDWARE.toml."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from megbuild.declare import schema, toml_file
from megbuild.declare.complaints import take, unknown_key
from megbuild.declare.hints import did_you_mean, one_of, quoted
from megbuild.declare.labels import NAME, NAME_RULE
from megbuild.declare.models import Hardware
from megbuild.declare.options import Options, Refused
from megbuild.declare.positions import Place
from megbuild.errors import MegbuildError, Problem, Problems

BUILTIN = "hardware.toml"
OWN = "HARDWARE.toml"


def catalogue(
    builtin: Path, own: Path | None, options: Options, formats: Collection[str], problems: list[Problem]
) -> Mapping[str, Hardware]:
    """Every known hardware by name: those of the file ``builtin``, then those of the workspace's file ``own``.

    megbuild's own presets may name formats whose rules are not installed: only an output that wants one is wrong then.
    """
    known = _read(builtin, str(builtin), problems)
    if own:
        for name, hardware in _read(own, OWN, problems).items():
            place = Place(OWN, str(own), (name,))
            if name in known:
                message = f"hardware {name} is one of megbuild's own"
                problems.append(Problem("MB127", message, "give yours another name", place.key_of()))
                continue
            known[name] = hardware
            problems += _complaints(hardware, place, options, formats)
    return MappingProxyType(known)


def _read(path: Path, shown: str, problems: list[Problem]) -> dict[str, Hardware]:
    try:
        raw = toml_file.read(str(path), shown)
    except MegbuildError as error:
        problems.extend(error.problems)
        return {}
    found = {}
    for name, entry in raw.items():
        place = Place(shown, str(path), (name,))
        if not NAME.fullmatch(name):
            problems.append(Problem("MB107", f"{quoted(name)} cannot name a hardware", NAME_RULE, place.key_of()))
        elif table := take(entry, schema.HardwareTable, place, problems):
            found[name] = Hardware(
                name=name,
                format=table.format,
                options=MappingProxyType(table.options),
                family=table.family,
                summary=table.summary,
                runs_here=table.runs_here,
                source=table.source,
                where=place.key_of(),
            )
    return found


def _complaints(hardware: Hardware, place: Place, options: Options, formats: Collection[str]) -> list[Problem]:
    """What is wrong with a preset of the workspace, given the installed rules."""
    problems = Problems()
    if hardware.format not in formats:
        message = f"no installed rule makes the format {quoted(hardware.format)}"
        hint = did_you_mean(hardware.format, formats, one_of(formats))
        problems.append(Problem("MB119", message, hint, place.at("format")))
    for name, value in hardware.options.items():
        if name not in options:
            problems.append(unknown_key(name, place.at("options"), options.names))
        elif isinstance(refused := options.accept(name, value), Refused):
            problems.append(Problem("MB116", f"{name} {refused.complaint}", refused.hint, place.at("options", name)))
    return problems
