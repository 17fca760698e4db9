"""The README of a bundle: what a person who receives it wants to know first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def readme(manifest: Mapping[str, Any]) -> str:
    """The text, from the manifest alone."""
    return "\n".join(_lines(manifest)) + "\n"


def _lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {manifest['name']} {manifest['version']}"
    yield ""
    yield f"Made by megbuild {manifest['megbuild']} from the commit `{manifest['commit'] or 'none'}`."
    yield ""
    yield from _exemptions(manifest)
    if manifest["notes"]:
        yield f"What is new: `{manifest['notes']}`."
        yield ""
    yield "## Artifacts by device"
    yield ""
    yield "| device | file | size | was run on | verdict | label |"
    yield "|---|---|---|---|---|---|"
    for artifact in sorted(manifest["artifacts"], key=lambda one: (one["hardware"], one["label"])):
        verdict = artifact["verdict"]
        for number, file in enumerate(artifact["files"]):
            told = (_verdict(verdict), artifact["label"]) if number == 0 else ("", "")
            runtime = verdict["runtime"] if number == 0 else ""
            yield f"| {artifact['hardware']} | `{file['path']}` | {file['size']} | {runtime} | {told[0]} | {told[1]} |"
    yield ""
    yield "`manifest.json` tells more of each: inputs and results as the file has them, options, thresholds, operators."
    yield ""
    yield "## Inputs and results"
    for model in manifest["models"]:
        yield ""
        yield f"### {model['label']}"
        yield ""
        yield "| | name | type | shape | values |"
        yield "|---|---|---|---|---|"
        for tensor in model["inputs"]:
            low, high = tensor["range"]
            yield f"| input | {tensor['name']} | {tensor['dtype']} | {tensor['shape']} | {low:g} to {high:g} |"
        for tensor in model["results"]:
            yield f"| result | {tensor['name']} | {tensor['dtype'] or 'as made'} | {tensor['shape']} | |"
        yield ""
        if model["golden"]:
            paths = [*model["golden"]["inputs"].values(), *model["golden"]["results"].values()]
            yield f"Samples with the results that the reference gives, the first axis counts them: `{'`, `'.join(paths)}`"
        else:
            yield "No output of this model was run where it was built, so there are no expected results."
    yield ""
    yield "## Is it what it says?"
    yield ""
    yield "`sha256sum -c SHA256SUMS` checks the files. `python verify.py` also checks that nothing was added, that the"
    yield "provenance is about these files, and, where a runtime is installed, that the artifacts give the expected results."
    yield "With `--key FILE.pub --signature FILE.intoto.jsonl` it checks who made them. `provenance/` holds an in-toto"
    yield "statement for each artifact, `bom.cdx.json` the bill of materials (CycloneDX 1.6), `locks/` the exact tools."
    if manifest["licences"]:
        yield ""
        yield "## Licences"
        yield ""
        yield from (f"- `{path}`" for path in manifest["licences"])


def _exemptions(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest["allowed"]:
        yield "**Released although:**"
        yield ""
        for allowed in manifest["allowed"]:
            yield f"- {allowed['what']}"
            yield from (f"  - {line}" for line in allowed["why"])
        yield ""


def _verdict(verdict: Mapping[str, Any]) -> str:
    if verdict["state"] == "not run":
        return f"not run: {verdict['reason']}"
    figures = [
        f"{name} {value:.6g}" for name, value in (verdict["metrics"] or {}).items() if name in ("cosine", "top1")
    ]
    if verdict["accuracy"] is not None:
        figures.append(f"accuracy {100 * verdict['accuracy']:.2f} %")
    return ", ".join([verdict["state"], *figures, f"{verdict['samples']} samples"])
