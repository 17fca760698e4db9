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
        "The switches of SIMD do not make this processor another one. Those of OpenBLAS and NumPy change results of NumPy here;",
        "MegEngine 1.13 takes none: its own kernels follow the processor, and no variable that was tried changed a bit of its",
        "matrix products, convolutions or exponentials. So what MegEngine computes (weights, expected results, measures) is known",
        "to be the same on processors of one kind only. What a rule only rewrites (tm, mge, onnx, tflite, caffe) depends on",
        "no instructions that were varied.",
    ]
    return "\n".join([*head, *rows, *tail]) + "\n"
