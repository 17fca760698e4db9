"""Writes the conversion matrix as a document: the same numbers give the same text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

FORMATS = {"onnx": "ONNX", "tflite": "TFLite", "caffe": "Caffe"}
GOOD = ("verified", "refused")
ROUNDING = 1e-3
"""Up to here a result of stock mgeconvert counts as right; megbuild's must be below 1e-4."""
MIB = 2**20

Matrix = dict[str, Any]
Cell = dict[str, Any]


def faults(matrix: Matrix) -> list[str]:
    """Every cell of megbuild's lowering that is neither verified nor refused, or whose bytes differ from run to run."""
    found = []
    for network, format, cell in _cells(matrix, "lowered"):
        if cell["outcome"] not in GOOD or cell.get("same") is False:
            why = cell.get("said") or (f"error {cell['error']:.2g}" if "error" in cell else "")
            what = "other bytes the second time" if cell.get("same") is False else cell["outcome"]
            found.append(f"{network['family']}, {network['name']}, {FORMATS[format]}: {what} {why}".strip())
    return found


def counts(matrix: Matrix, way: str, networks: Sequence[Any] | None = None) -> dict[str, Counter[str]]:
    """How many cells of each format have each outcome, for ``lowered`` or ``stock``."""
    found: dict[str, Counter[str]] = {format: Counter() for format in FORMATS}
    for network, format, cell in _cells(matrix, way):
        if networks is None or network in networks:
            found[format][_outcome(cell) if way == "stock" else cell["outcome"]] += 1
    return found


def summary(matrix: Matrix) -> str:
    """A few lines for the terminal."""
    lines = []
    for way, title in (("lowered", "megbuild"), ("stock", "mgeconvert")):
        for format, counted in counts(matrix, way).items():
            if counted:
                lines.append(
                    f"{title:10} {FORMATS[format]:6} " + ", ".join(f"{n} {what}" for what, n in sorted(counted.items()))
                )
    return "\n".join([*lines, *faults(matrix)])


def render(matrix: Matrix) -> str:
    """The whole document."""
    parts = [_head(matrix)]
    for full, title in ((False, "Small networks"), (True, "Full-size networks")):
        networks = [network for network in matrix["networks"] if network["full"] is full]
        if networks:
            parts.append(f"## {title}\n\n{_counts(matrix, networks)}\n\n{_table(networks)}")
    parts += [_costs(matrix), _refusals(matrix), _faults(matrix)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(matrix: Matrix) -> str:
    machine, versions = matrix["machine"], matrix["versions"]
    packages = ", ".join(f"{name} {version}" for name, version in versions["packages"].items())
    runtimes = ", ".join(versions["runtimes"][format] for format in FORMATS)
    return f"""# Conversion matrix

Networks of {len({network["family"] for network in matrix["networks"]})} families, written in MegEngine as people write them (`benchmarks/conversion/networks/`), each converted to each format,
run on the format's runtime and compared with MegEngine on one random input. An error is the largest difference as a part of the
largest magnitude of MegEngine's result; a cell is verified below 1e-4. "refused": the conversion says why the format cannot
hold the network, and writes nothing. The columns "stock" show what mgeconvert's own front end makes of the same network through the same
worker (`lowering = "mgeconvert"`, which has megbuild's repairs of what keeps mgeconvert from starting): the error where its
file is right (below 1e-3), **wrong** with the error where it runs and gives other numbers, "refused" where it ends without a file, "fails"
where its file cannot be run or has other inputs or results.

{_written_by(matrix["runs"])}; all numbers are in `conversion-matrix.json` beside it.
Versions: {packages}, Python {versions["python"]}; {runtimes}. Machine: {machine["cores"]} cores, {machine["memory_gib"]} GiB, {machine["system"]}."""


def _written_by(runs: Sequence[Any]) -> str:
    minutes = f"{sum(run['seconds'] for run in runs) / 60:.0f} minutes"
    if len(runs) == 1:
        return f"This page is written by `{runs[0]['command']}` ({minutes})"
    commands = "\n".join(f"    {run['command']}" for run in runs)
    return f"This page is written by these commands ({minutes}):\n\n{commands}\n\nA network's numbers are those of the last of them that ran it"


def _counts(matrix: Matrix, networks: Sequence[Any]) -> str:
    lowered, stock = (counts(matrix, way, networks) for way in ("lowered", "stock"))
    rows = []
    for format, name in FORMATS.items():
        errors = [
            network["cells"][format]["lowered"].get("error", 0.0)
            for network in networks
            if network["cells"][format]["lowered"]["outcome"] == "verified"
        ]
        bad = sum(n for outcome, n in lowered[format].items() if outcome not in GOOD)
        there = lowered[format]
        row = [
            name,
            f"{there['verified']} of {len(networks)}",
            f"{max(errors, default=0.0):.1e}",
            str(there["refused"]),
            str(bad),
        ]
        row += [str(stock[format][what]) for what in ("verified", "refused", "wrong", "fails")]
        rows.append(row)
    head = ["", "verified", "worst error", "refused", "neither", "stock: verified", "refused", "wrong", "fails"]
    return _rows(head, rows)


def _table(networks: Sequence[Any]) -> str:
    rows = []
    for network in networks:
        row = [network["family"].replace("_", " "), network["name"]]
        for format in FORMATS:
            cells = network["cells"][format]
            row += [
                _said(cells["lowered"], cells["lowered"]["outcome"]),
                _said(cells["stock"], _outcome(cells["stock"])) if "stock" in cells else "",
            ]
        rows.append(row)
    head = ["family", "network", *(title for name in FORMATS.values() for title in (name, "stock"))]
    return _rows(head, rows)


def _said(cell: Cell, outcome: str) -> str:
    if outcome == "verified":
        return f"{cell['error']:.1e}"
    if outcome == "wrong":
        return f"**wrong** {cell['error']:.1e}" if cell["error"] < 1e30 else "**wrong**, no numbers"
    return outcome


def _outcome(cell: Cell) -> str:
    """``verified refused wrong fails`` of stock mgeconvert, or of a cell that is one of these anyway.

    A converter that ends with an error of its own has refused, too, and other rounding is not other numbers.
    """
    outcome = str(cell["outcome"])
    if outcome == "wrong" and cell["error"] < ROUNDING:
        return "verified"
    return {"broken": "refused", "crashes": "fails"}.get(outcome, outcome)


def _costs(matrix: Matrix) -> str:
    networks = [network for network in matrix["networks"] if network["full"]]
    compared = [cell for _, _, cell in _cells(matrix, "lowered") if "same" in cell]
    same = sum(cell["same"] for cell in compared)
    told = (
        f"Of {len(compared)} conversions made twice, with other hash seeds, {same} gave the same bytes."
        if compared
        else ""
    )
    if not networks:
        return f"## Size, time and memory\n\n{told}" if told else ""
    rows = []
    for network in networks:
        row = [network["name"], f"{network['weights'] / MIB:.1f}"]
        for format in FORMATS:
            cell = network["cells"][format]["lowered"]
            if "size" in cell:
                times = cell["memory"] / network["weights"]
                row += [
                    f"{cell['size'] / MIB:.1f}",
                    f"{cell['cpu']:.1f}",
                    f"{cell['memory'] / MIB:.0f} ({times:.1f}x)",
                ]
            else:
                row += ["", "", ""]
        rows.append(row)
    head = ["network", "weights, MiB"]
    head += [title for name in FORMATS.values() for title in (f"{name}, MiB", "s", "memory, MiB")]
    return f"""## Size, time and memory

Full-size networks, from the .tm to the finished files, one after another: seconds of processor time (of all threads; the clock's are in
the JSON, and depend on what else the machine does), and the peak of memory over what the idle tools take, also as a multiple of
the weights. Both cover running the network operation by operation, which lowering does to compare each: what flows through a
network counts as well as its weights, and is most of it in small networks on large inputs.

{_rows(head, rows)}

{told}"""


def _refusals(matrix: Matrix) -> str:
    lines = [
        f"- {network['family'].replace('_', ' ')}, {network['name']}: {cell['said']}"
        for network, _, cell in _cells(matrix, "lowered")
        if cell["outcome"] == "refused"
    ]
    return "\n".join(["## What is refused, and why", "", *(_cut(line) for line in lines)]) if lines else ""


def _cut(text: str, most: int = 600) -> str:
    return text if len(text) <= most else text[:most].rsplit(";", 1)[0] + "; and more"


def _faults(matrix: Matrix) -> str:
    found = faults(matrix)
    return "\n".join(["## What is wrong", "", *(f"- {_cut(line, 300)}" for line in found)]) if found else ""


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(matrix: Matrix, way: str) -> Iterator[tuple[Any, str, Cell]]:
    for network in matrix["networks"]:
        for format in FORMATS:
            cell = network["cells"].get(format, {}).get(way)
            if cell is not None:
                yield network, format, cell
