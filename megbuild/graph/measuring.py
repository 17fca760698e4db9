"""Running artifacts: how an artifact compares with what the reference answered."""

from __future__ import annotations

from megbuild.graph.actions import Leaf, Product
from megbuild.graph.draft import ARTIFACT, Draft, artifact_files, file_leaf, globbed, toolchain_of, worker_action
from megbuild.graph.reference import runner_of
from megbuild.graph.resolve import Target


def measure(draft: Draft, target: Target, made: str, expected: str) -> str:
    """The action that runs an artifact on its runtime and compares it with what the reference answered."""
    model = target.model
    rule = runner_of(draft, target.form, target.road[-1].rule if target.road else None)
    assert rule is not None, target.form  # else there is nothing to measure
    samples = globbed(draft, model.samples, "in/samples")
    request = {
        "artifact": artifact_files(draft, made, "in/artifact"),
        "expected": [f"in/expected/{result.name}.npy" for result in model.results],
        "samples": [leaf.path for leaf in samples],
    }
    inputs: list[Leaf | Product] = [
        Product("in/artifact", made, ARTIFACT),
        Product("in/expected", expected, "results"),
        *samples,
    ]
    if model.labels:
        inputs.append(file_leaf(draft, model.labels, "in/labels.npy"))
        request["labels"] = ["in/labels.npy"]
    builder = draft.actions[made]
    if rule.rule.runs_from_inputs:
        request |= {name: paths for name, paths in draft.requests.get(made, {}).items() if name not in request}
        inputs += [entry for entry in builder.inputs if not (isinstance(entry, Leaf) and entry.kind != "file")]
    return worker_action(
        draft,
        id=f"{made}+measured",
        step="measured",
        summary=f"run {made} on {', '.join(rule.rule.runs_on)}",
        model=model,
        toolchain=toolchain_of(draft, rule, rule.rule.run_toolchain or rule.rule.toolchain),
        rule=rule,
        function="measure",
        request_inputs=request,
        request_outputs={"measures": ["out/measures.json"]},
        inputs=inputs,
        outputs=("measures.json",),
        options={name: value for name, value in builder.options.items() if not name.startswith("declared.")}
        if builder.toolchain
        else {},
        secrets=builder.secrets,
    )
