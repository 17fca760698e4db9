"""The score of a reproducibility check: how many outputs of each rule came out the same, of how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from megbuild.graph.actions import Outputs
from megbuild.release.variations import Variation


@dataclass(frozen=True)
class Again:
    """An action that ran again: by which rule it is, what it made then and now, or why it failed now."""

    id: str
    rule: str
    was: Outputs
    now: Outputs = field(default_factory=dict)
    failure: str = ""

    @property
    def differing(self) -> tuple[str, ...]:
        """The outputs that are not the same; all of them when it failed."""
        return tuple(
            sorted(path for path in self.was.keys() | self.now.keys() if self.was.get(path) != self.now.get(path))
        )

    @property
    def outputs(self) -> int:
        """How many there are."""
        return len(self.was.keys() | self.now.keys())


Scores = Mapping[str, Mapping[str, tuple[int, int]]]
"""By rule and variation: outputs that came out the same, and outputs."""


def score(results: Mapping[str, Iterable[Again]]) -> Scores:
    """The scores of the results of each variation."""
    table: dict[str, dict[str, tuple[int, int]]] = {}
    for variation, actions in results.items():
        for again in actions:
            same, of = table.setdefault(again.rule, {}).get(variation, (0, 0))
            table[again.rule][variation] = (same + again.outputs - len(again.differing), of + again.outputs)
    return {rule: table[rule] for rule in sorted(table)}


def together(tables: Iterable[Scores]) -> Scores:
    """The scores of several checks as one."""
    sums: dict[str, dict[str, tuple[int, int]]] = {}
    for table in tables:
        for rule, counted in table.items():
            for variation, (same, of) in counted.items():
                before = sums.setdefault(rule, {}).get(variation, (0, 0))
                sums[rule][variation] = (before[0] + same, before[1] + of)
    return {rule: sums[rule] for rule in sorted(sums)}


def page(
    scores: Scores,
    variations: Sequence[Variation],
    made_by: str,
    processor: str,
    without: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """docs/reproducibility.md. ``without`` says of each rule that has no row why it was not run."""
    lines = [
        "# Reproducibility",
        "",
        f"Made by `{made_by}` on {processor}.",
        "",
        "Every action is run again from the same inputs in each of the variations below, and every file that it made is compared",
        'bit by bit. The numbers are outputs that came out the same, of how many. "expected" is what the reference gives, "measured" what',
        "the runtime of a format gives, with its closeness to that in nine digits.",
        "",
        "| rule | " + " | ".join(variation.name for variation in variations) + " |",
        "|---|" + "---|" * len(variations),
    ]
    for rule, counted in scores.items():
        cells = (counted.get(variation.name) for variation in variations)
        lines.append(f"| {rule} | " + " | ".join(f"{cell[0]} of {cell[1]}" if cell else "" for cell in cells) + " |")
    if without:
        lines += ["", "## Rules that were not run", "", "| rule | why |", "|---|---|"]
        lines += [f"| {rule} | {why} |" for rule, why in sorted(without.items())]
    lines += ["", "## What was varied", ""]
    for variation in variations:
        lines += [f"**{variation.name}**", "", *(f"- {what}" for what in (*variation.what, *variation.lacking())), ""]
    return "\n".join([*lines, *ACROSS]) + "\n"


ACROSS = (
    "## What holds across processors",
    "",
    "On x86-64 processors with AVX2 and FMA, of all makers: artifacts, expected results, weights trained on the CPU, and what the",
    "runtimes of MegEngine measure are the same bits. Every toolchain fixes what MKL, oneDNN, OpenBLAS and NumPy would choose by the",
    "processor ([adr/0027-same-on-all-processors.md](adr/0027-same-on-all-processors.md)), and Haswell and EPYC are emulated by QEMU to see that it",
    "holds for what takes no switch: MegEngine's own kernels, and onnxruntime, which has others for AVX-512 and so measures an ONNX file",
    "with other last digits there. Verdicts have not differed, their last digits may. Weights are not trained on emulated processors.",
    "Without AVX2 MegEngine's depthwise convolution adds in another order: nothing is claimed for such processors, nor for the mathematical",
    "functions of another version of the C library, which is the machine's own. The SIMD column goes below AVX2, too: oneDNN limited to SSE4.1 makes",
    "tpu-mlir's calibration, and so some of its int8 artifacts, and what OpenVINO measures come out otherwise.",
)
