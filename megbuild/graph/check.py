"""Check: what can be refused before anything runs, from the declaration and the graph alone."""

from __future__ import annotations

from megbuild.errors import MegbuildError, Problem
from megbuild.graph.analyse import Graph


def check(graph: Graph) -> None:
    """Refuse what cannot end well.

    :raises MegbuildError: MB220 for a threshold on accuracy where no labels are declared.
    """
    problems = []
    for aim in graph.aims:
        model, verify = aim.target.model, aim.target.output.verify
        if (verify.accuracy is not None or verify.accuracy_drop is not None) and not (model.labels and model.samples):
            problems.append(
                Problem(
                    "MB220",
                    f"{aim.label}: verify asks for accuracy, but the model declares no labelled samples",
                    'add samples = "digits/*.npy" and labels = "labels.npy" (the class of each sample) to the model',
                    aim.target.output.where,
                )
            )
    if problems:
        raise MegbuildError(tuple(problems))
