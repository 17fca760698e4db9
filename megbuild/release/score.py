"""The score of a reproducibility check: how many outputs of each rule came out the same, of how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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


def page(scores: Scores, variations: Sequence[Variation], labels: Sequence[str], processor: str) -> str:
    """docs/reproducibility.md."""
    head = [
        "# Reproducibility",
        "",
        f"Made by `doit check {' '.join(labels)} --write docs/reproducibility.md` on {processor}.",
        "",
        "Every action is run again from the same inputs in each of the variations below, and every file that it made is compared",
        "bit by bit. The numbers are outputs that came out the same, of how many.",
        "",
        "| rule | " + " | ".join(variation.name for variation in variations) + " |",
        "|---|" + "---|" * len(variations),
    ]
    rows = []
    for rule, counted in scores.items():
        cells = (counted.get(variation.name) for variation in variations)
        rows.append(f"| {rule} | " + " | ".join(f"{cell[0]} of {cell[1]}" if cell else "" for cell in cells) + " |")
    tail = ["", "## What was varied", ""]
    for variation in variations:
        tail += [f"**{variation.name}**", "", *(f"- {what}" for what in variation.what), ""]
    tail += [
        "The switches of SIMD do not make this processor another one. A rule that only rewrites (tm, mge, onnx, tflite, caffe)",
        "computes nothing that they could change. What computes may change with them: MKL's switch, for one, changes the last",
        "bits of what MegEngine's .mge and .tm answer, and with them expected results and measures. MegEngine 1.13 also has",
        "kernels that follow the processor and take no switch. So weights, expected results and measures are known to be the",
        "same on processors of one kind only; an artifact that is made from weights that are kept is the same on all.",
    ]
    return "\n".join([*head, *rows, *tail]) + "\n"
