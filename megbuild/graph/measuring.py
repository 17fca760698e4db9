"""Running artifacts: what the reference answers to the samples, and how an artifact compares with that."""

from __future__ import annotations

from megbuild.declare.models import InstalledRule, Model, Toolchain
from megbuild.errors import MegbuildError, fail
from megbuild.graph.actions import Leaf, Product
from megbuild.graph.conversion import begin, convert
from megbuild.graph.draft import (
    ARTIFACT,
    GOLDEN,
    REFERENCE,
    Draft,
    artifact_files,
    file_leaf,
    globbed,
    toolchain_of,
    worker_action,
)
from megbuild.graph.resolve import Target, side_road, start_of


def reference_answer(draft: Draft, target: Target, trail: list[str], environment: Toolchain | None) -> str:
    """The action that runs the reference on the samples; a road that does not pass through it gets one of its own.

    The reference is the .tm of training code, and for a delivered file that file itself.
    """
    model = target.model
    form = REFERENCE if start_of(model) == "source" else start_of(model)
    made = next((action for action in trail if draft.actions[action].makes == form), "")
    if not made:
        made = begin(draft, model)
        for side in side_road(draft.workspace.rules, start_of(model), form) or ():
            made = convert(draft, model, side, made, environment)
    runner = runner_of(draft, form)
    if runner is None or not made:
        raise _nothing_to_compare_with(model, target)
    samples = globbed(draft, model.samples, "in/samples")
    return worker_action(
        draft,
        id=f"{model.label}#expected",
        step="expected",
        summary=f"run the .{form} of {model.label} on its samples",
        model=model,
        toolchain=toolchain_of(draft, runner, runner.rule.run_toolchain or runner.rule.toolchain),
        rule=runner,
        function="expect",
        request_inputs={
            "artifact": artifact_files(draft, made, "in/artifact"),
            "samples": [leaf.path for leaf in samples],
        },
        request_outputs={"results": ["out/results"], GOLDEN: [f"out/{GOLDEN}"]},
        inputs=[Product("in/artifact", made, ARTIFACT), *samples],
        outputs=("results", GOLDEN),
    )


def runner_of(draft: Draft, form: str, maker: InstalledRule | None = None) -> InstalledRule | None:
    """The rule whose worker runs artifacts of a format: the one that made it if it can, else any other that makes it."""
    makers = [rule for rule in draft.workspace.rules if rule.rule.produces == form and rule.rule.runs_on]
    return maker if maker in makers else next(iter(makers), None)


def _nothing_to_compare_with(model: Model, target: Target) -> MegbuildError:
    message = f"{model.label}: no rules make and run a .{REFERENCE} from its {start_of(model)}, so nothing can be compared with it"
    return fail("MB215", message, "install the rule that is missing", target.output.where)


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
